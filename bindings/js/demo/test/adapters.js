// Adapters in tests: the one of PyTorch, and ways in and out of the page.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ready } from './support.js';

/** Made by make_peft_adapter.py, for mirrored digits. */
export const PEFT_FOLDER = fileURLToPath(new URL('peft-adapter', import.meta.url));
export const PEFT_CONFIG = join(PEFT_FOLDER, 'adapter_config.json');
export const PEFT_TENSORS = join(PEFT_FOLDER, 'adapter_model.safetensors');

/** Presses a button that saves, and gives the path of the file. */
export async function save(page, button, folder) {
  const coming = page.waitForEvent('download');
  await page.locator(button).click();
  const download = await coming;
  const path = join(folder, download.suggestedFilename());
  await download.saveAs(path);
  return path;
}

const opened = async (page) => {
  await page.locator('#status', { hasText: 'Adapter opened' }).waitFor();
  await ready(page);
};

export async function open(page, ...paths) {
  await page.locator('#open').setInputFiles(paths);
  await opened(page);
}

/** Drops files or folders on the page, as from a file manager. */
export async function drop(page, ...files) {
  const session = await page.context().newCDPSession(page);
  for (const type of ['dragEnter', 'dragOver', 'drop']) {
    await session.send('Input.dispatchDragEvent', { type, x: 300, y: 300, data: { items: [], files, dragOperationsMask: 1 } });
  }
  await opened(page);
}
