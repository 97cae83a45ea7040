// Keeps the page for use without network.

/** @param {HTMLElement} output where it is told how far that is */
export async function offlineUse(output) {
  if (!('serviceWorker' in navigator)) {
    output.textContent = 'needs https or localhost';
    return;
  }
  try {
    const { installing } = await navigator.serviceWorker.register(new URL('sw.js', document.baseURI));
    output.textContent = 'being stored …';
    installing?.addEventListener('statechange', () => {
      if (installing.state === 'redundant') output.textContent = 'could not be stored';
    });
    await navigator.serviceWorker.ready;
    output.textContent = 'works from now on';
  } catch (error) {
    output.textContent = `not stored: ${error.message}`;
  }
}
