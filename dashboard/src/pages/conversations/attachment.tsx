// A picture, voice or file that came with a message: fetched with the reader's own rights, shown inert.
import { Button, Group, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconDownload } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { address, raw } from '../../api/client';
import type { Media, Message } from '../../api/types';
import { useSpeech } from '../../i18n';
import { useBytes, useReason } from '../../ui/common';
import { useSentence } from '../../ui/error-note';
import { saveAs } from '../../ui/save';

/** Kinds that a browser shows without running anything. */
const SHOWN = /^(image\/(jpeg|png|webp|gif)|audio\/|video\/(mp4|3gpp))/;

function useFile(media: Media, enabled: boolean) {
  const blob = useQuery({
    queryKey: ['media', media.id], enabled, staleTime: Infinity, gcTime: 60_000,
    queryFn: async ({ signal }) => (await raw('get', address('/api/v1/media/{id}', { id: media.id }), { signal })).blob(),
  }).data;
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    if (!blob) return undefined;
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url;
}

export function Attachment({ message }: { message: Message }) {
  return message.media ? <File media={message.media} alt={message.text} /> : null;
}

function File({ media, alt }: { media: Media; alt: string }) {
  const { t } = useSpeech();
  const bytes = useBytes();
  const reason = useReason();
  const sentence = useSentence();
  const url = useFile(media, media.status === 'stored' && SHOWN.test(media.mimeType));
  if (media.status === 'waiting') return <Text size="xs" c="dimmed">{t('media.waiting')}</Text>;
  if (media.status !== 'stored') return <Text size="xs" c="var(--mantine-color-error)">{t('media.failed')} {reason(media.reason) ?? ''}</Text>;
  const save = () => raw('get', address('/api/v1/media/{id}', { id: media.id })).then((response) => saveAs(response, media.filename ?? media.id))
    .catch((error: unknown) => notifications.show({ color: 'red', message: sentence(error) }));
  return (
    <div>
      {url !== null && media.mimeType.startsWith('image/') && <img src={url} alt={alt} className="media" />}
      {/* Nobody wrote captions for what a customer recorded. */}
      {url !== null && media.mimeType.startsWith('audio/') && <audio src={url} controls preload="metadata" aria-label={alt} />}
      {url !== null && media.mimeType.startsWith('video/') && <video src={url} controls preload="metadata" className="media" aria-label={alt} />}
      <Group gap={6} mt={2}>
        <Button size="compact-xs" variant="subtle" leftSection={<IconDownload size={13} />} onClick={() => void save()} className="break"><bdi>{media.filename ?? media.mimeType}</bdi></Button>
        {media.size != null && <Text size="xs" c="dimmed">{bytes(media.size)}</Text>}
      </Group>
    </div>
  );
}
