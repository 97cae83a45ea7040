// Made by scripts/layout.mjs from lowrank.h: change it there.
/** What is wrong with a file. @type {Record<number, string>} */
export const FLAW = { 0: 'None', 1: 'Truncated', 2: 'Magic', 3: 'Version', 4: 'Crc', 5: 'Length', 6: 'Offset', 7: 'Outside', 8: 'TooLarge', 9: 'Zero', 10: 'NotZero', 11: 'Padding', 12: 'Code', 13: 'NoBias', 14: 'Utf8', 15: 'Order', 16: 'NonFinite', 17: 'Scale', 18: 'Probability', 19: 'Rows', 20: 'Cols', 21: 'NotF32', 99: 'Other' };
