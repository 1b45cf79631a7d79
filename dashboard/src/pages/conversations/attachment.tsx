// A picture, voice or file that came with a message, as far as it was stored.
import type { Message } from '../../api/types';

export function Attachment(_: { message: Message }) {
  return null;
}
