// Which rules a delete with out_port or out_group is about (ovs-ofctl(8)): those with an output to that port, or with that
// group, also inside write_actions, clone and ct(exec(...)).
import type { Action } from "./action.ts";
import { OFPP_CONTROLLER } from "./action.ts";

export function outputsToPort(actions: readonly Action[], port: number): boolean {
  return someAction(actions, (action) => {
    if (action.type === "output" || action.type === "enqueue") return action.port === port;
    return action.type === "controller" && port === OFPP_CONTROLLER;
  });
}

export function outputsToGroup(actions: readonly Action[], groupId: number): boolean {
  return someAction(actions, (action) => action.type === "group" && action.groupId === groupId);
}

/** Whether the test holds for an action, nested ones included. */
export function someAction(actions: readonly Action[], test: (action: Action) => boolean): boolean {
  for (const action of actions) {
    if (test(action)) return true;
    if (action.type === "clone" || action.type === "write_actions") {
      if (someAction(action.actions, test)) return true;
    } else if (action.type === "ct" && someAction(action.exec, test)) return true;
  }
  return false;
}

/** Visits every action, nested ones included. */
export function eachAction(actions: readonly Action[], visit: (action: Action) => void): void {
  someAction(actions, (action) => {
    visit(action);
    return false;
  });
}
