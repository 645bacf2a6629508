#!/usr/bin/env node
// Nothing is imported above the check: an old Node would stop at newer syntax in one of those files, and its message
// says nothing about versions. So this file keeps to what Node 18 can read, and loads the rest afterwards.

const version = process.versions.node;
const parts = version.split('.').map(Number);
const major = parts[0] || 0;
const minor = parts[1] || 0;

if (major < 22 || (major === 22 && minor < 15)) {
  console.error(
    `Millrace needs Node 22.15 or newer; this is ${version}. Start it with \`make run\`, which brings Node 24 from npm where it can, or install a newer Node.`,
  );
  process.exit(1);
} else {
  const { endWhenReaderLeaves } = await import('./departed-reader.js');
  const { runCli } = await import('./cli.js');
  endWhenReaderLeaves(process.stdout);
  process.exitCode = await runCli(process.argv.slice(2));
}

export {};
