// The tree that a traced translation reports into, and its text (ovs-vswitchd(8), ofproto/trace).

export type TraceKind = "bridge" | "table" | "thaw" | "action" | "detail" | "warn" | "error" | "bucket";

export interface TraceNode {
  readonly kind: TraceKind;
  readonly text: string;
  readonly subs: TraceNode[];
}

/** Appends a node and returns its children's list. */
export function addNode(list: TraceNode[], kind: TraceKind, text: string): TraceNode[] {
  const subs: TraceNode[] = [];
  list.push({ kind, text, subs });
  return subs;
}

/** The tree as text, a line per node; a resubmit at the end of a table's actions does not indent further. */
export function formatNodes(nodes: readonly TraceNode[], level = 0): string {
  let text = "";
  nodes.forEach((node, i) => {
    const inner = node.kind === "bridge" || node.kind === "table" || node.kind === "thaw";
    const more = i < nodes.length - 1 || !inner ? 1 : 0;
    const indent = " ".repeat((level + more) * 4);
    if (node.kind === "bridge") text += `\n${indent}${node.text}\n${indent}${"-".repeat(node.text.length)}\n`;
    else if (node.kind === "detail") text += `${indent} -> ${node.text}\n`;
    else if (node.kind === "warn") text += `${indent} >> ${node.text}\n`;
    else if (node.kind === "error") text += `${indent} >>>> ${node.text} <<<<\n`;
    else text += `${indent}${node.text}\n`;
    text += formatNodes(node.subs, level + more + more);
  });
  return text;
}
