// Errors as sentences for the page.

/** @param {Error & { code?: string, argument?: string, expected?: unknown, got?: unknown }} error */
export function inWords(error) {
  if (error.code === 'NonFinite') return `The training has blown up (${error.message}). Reset, and take a lower learning rate.`;
  return error.message;
}
