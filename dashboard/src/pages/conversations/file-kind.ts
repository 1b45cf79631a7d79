// What WhatsApp takes a file as, by its type; everything it has no kind for is a document.

export type FileKind = 'image' | 'video' | 'audio' | 'document';

const SHOWN: Record<string, FileKind> = {
  'image/jpeg': 'image', 'image/png': 'image', 'video/mp4': 'video', 'video/3gpp': 'video',
  'audio/aac': 'audio', 'audio/amr': 'audio', 'audio/mpeg': 'audio', 'audio/mp4': 'audio', 'audio/ogg': 'audio',
};

export const kindOf = (file: File): FileKind => SHOWN[file.type] ?? 'document';
