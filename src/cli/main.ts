#!/usr/bin/env node
// The command line. Each command is one file that registers itself; this one only joins them and turns errors into exit statuses.
import { Command, CommanderError } from "commander";
import { isSystemError, MegaflowError, systemWords } from "../lib/errors.ts";
import { EXIT_ARGUMENTS, EXIT_UNFINISHED } from "./exit.ts";

type Register = { register(program: Command): void };

// Loaded when asked for: no command waits for another's modules.
const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  replay: () => import("./replay.ts"),
  run: () => import("./run.ts"),
  trace: () => import("./trace.ts"),
  parse: () => import("./parse.ts"),
  bench: () => import("./bench.ts"),
  demo: () => import("./demo.ts"),
};

async function main(argv: readonly string[]): Promise<number> {
  const program = new Command("megaflow")
    .description("A userspace, Open vSwitch-compatible packet datapath.")
    .version("0.1.0")
    .showHelpAfterError("(megaflow COMMAND --help says more)")
    .exitOverride()
    .addHelpText(
      "after",
      `
Examples:
  megaflow replay --flows node.flows --in 4=busybox.pcap --in 6=nginx.pcap --out-dir out
  megaflow run lab.yaml
  megaflow trace --flows node.flows 'in_port=4,tcp,nw_src=100.96.1.3,nw_dst=100.96.1.5,tp_dst=80'
  megaflow parse capture.pcapng`,
    );
  // All of them for the help.
  const names = Object.keys(COMMANDS);
  const wanted = names.filter((name) => argv.includes(name));
  for (const name of wanted.length > 0 ? wanted : names) (await COMMANDS[name]!()).register(program);
  for (const command of program.commands) command.exitOverride();
  try {
    // Commander would show the program's help for `megaflow nonsense --help`, as if all were well.
    const first = argv.find((word) => !word.startsWith("-"));
    if (first !== undefined && first !== "help" && !(first in COMMANDS)) {
      program.error(`error: unknown command '${first}'; there are ${names.join(", ")}`);
    }
    await program.parseAsync([...argv], { from: "user" });
    return process.exitCode === undefined ? 0 : Number(process.exitCode);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_ARGUMENTS;
    if (error instanceof MegaflowError) {
      console.error(`megaflow: ${error.describe()}`);
      return error.code === "ECAPTURE" ? EXIT_UNFINISHED : EXIT_ARGUMENTS;
    }
    // The command's own files have been named above: what is left is standard output, on a full disk say.
    if (isSystemError(error)) return outputFailed(error);
    throw error;
  }
}

/** Ends the program: standard output takes no more. A reader that has seen enough (`| head`) is no error. */
function outputFailed(error: NodeJS.ErrnoException): never {
  if (error.code === "EPIPE") process.exit(0);
  console.error(`megaflow: standard output: ${systemWords(error)}`);
  process.exit(EXIT_UNFINISHED);
}

process.stdout.on("error", outputFailed);

process.exitCode = await main(process.argv.slice(2));
