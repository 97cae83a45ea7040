// Prints a line "ok: ..." for every test that passed, what it says of itself, and what is wrong with the others.

const indented = (text) => text.replace(/^/gm, '    ');

function line(type, { name, details, message, file, skip }) {
  switch (type) {
    case 'test:pass':
      return skip === undefined ? `ok: ${name} (${(details.duration_ms / 1000).toFixed(1)} s)\n` : `NOT RUN: ${name}\n`;
    case 'test:fail':
      return `FAILED: ${name}\n${indented(String(details.error?.cause?.stack ?? details.error))}\n`;
    case 'test:diagnostic':
      // Those without a file are the runner's own.
      return file ? `${indented(message)}\n` : '';
    default:
      return '';
  }
}

export default async function* report(events) {
  for await (const { type, data } of events) yield line(type, data);
}
