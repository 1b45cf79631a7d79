// Words with their emphasis, as WhatsApp or Markdown mark it. Only text comes out of it: no links, no markup.
import type { ReactNode } from 'react';

const MARKS = /(\*\*[^*\n]+\*\*|\*[^*\s][^*\n]*\*|(?<![\w])_[^_\s][^_\n]*_(?![\w])|~[^~\s][^~\n]*~|`[^`\n]+`)/;

/** WhatsApp's single asterisk is bold, Markdown's is italic. */
export function Formatted({ text, markdown }: { text: string; markdown: boolean }): ReactNode {
  return text.split(MARKS).map((piece, n) => {
    if (n % 2 === 0) return piece;
    const inner = piece.slice(1, -1);
    if (piece.startsWith('**')) return <strong key={n}>{piece.slice(2, -2)}</strong>;
    if (piece.startsWith('*')) return markdown ? <em key={n}>{inner}</em> : <strong key={n}>{inner}</strong>;
    if (piece.startsWith('_')) return <em key={n}>{inner}</em>;
    if (piece.startsWith('~')) return <s key={n}>{inner}</s>;
    return <code key={n}>{inner}</code>;
  });
}
