// Files on their way in and out.

/** Longer files are not read: an adapter of this network has some kilobytes. */
const MOST_BYTES = 16 << 20;
const MOST_FILES = 20;

/**
 * Takes files from the picker, or dropped anywhere on the page, alone or in a folder.
 *
 * @param {{ input: HTMLInputElement, cover: HTMLElement }} parts `cover` is shown while files are held over the page
 * @param {(files: { name: string, bytes: Uint8Array }[]) => void} opened
 * @param {(error: Error) => void} failed
 */
export function onFiles({ input, cover }, opened, failed) {
  const take = async (promise) => {
    try {
      const files = await promise;
      if (files.length) opened(await Promise.all(files.map(read)));
    } catch (error) {
      failed(error);
    }
  };
  input.addEventListener('change', () => {
    take([...input.files]);
    // The same file can be chosen once more.
    setTimeout(() => (input.value = ''));
  });
  const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
  addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    cover.hidden = false;
  });
  addEventListener('dragleave', (event) => (cover.hidden = event.relatedTarget === null || cover.hidden));
  addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    cover.hidden = true;
    if (!input.disabled) take(dropped(event.dataTransfer));
  });
}

/** All files of a drop. Has to look at the items before it waits for anything. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const files = await Promise.all(entries.map(filesOf));
  return files.flat();
}

/** The file of an entry, or the files right inside of a folder. */
async function filesOf(entry) {
  const fileOf = (each) => new Promise((resolve, reject) => each.file(resolve, reject));
  if (entry.isFile) return [await fileOf(entry)];
  const reader = entry.createReader();
  const children = [];
  for (;;) {
    const more = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!more.length) break;
    children.push(...more);
  }
  const files = children.filter((child) => child.isFile);
  if (files.length > MOST_FILES) throw new Error(`${entry.name}: expected the folder of a PEFT adapter, got one with ${files.length} files`);
  return Promise.all(files.map(fileOf));
}

async function read(file) {
  if (file.size > MOST_BYTES) throw new Error(`${file.name}: expected at most ${MOST_BYTES} bytes, got ${file.size}`);
  return { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) };
}

/** Gives bytes to the user as a file. */
export function download(name, bytes) {
  const url = URL.createObjectURL(new Blob([bytes], { type: 'application/octet-stream' }));
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
