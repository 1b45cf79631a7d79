// Where a person answers. What is typed stays until it is sent, through reloads and sign-ins.
import { ActionIcon, Alert, Group, Text, Textarea } from '@mantine/core';
import { IconSend } from '@tabler/icons-react';
import { useEffect, useState, type KeyboardEvent } from 'react';
import type { Conversation } from '../../api/types';
import { useSpeech } from '../../i18n';
import { write } from './outgoing';

/** Longest message, in characters. */
const LONGEST = 4096;
const draftKey = (id: string) => `switchboard-draft-${id}`;

export function Composer({ conversation, closed, onWrite }: { conversation: Conversation; closed: boolean; onWrite: () => void }) {
  const { t } = useSpeech();
  const { id } = conversation;
  const [text, setText] = useState(() => sessionStorage.getItem(draftKey(id)) ?? '');
  useEffect(() => {
    if (text === '') sessionStorage.removeItem(draftKey(id));
    else sessionStorage.setItem(draftKey(id), text);
  }, [id, text]);
  const length = [...text].length;
  const send = () => {
    if (text.trim() === '' || length > LONGEST || closed) return;
    write(id, text);
    setText('');
    onWrite();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      send();
    }
  };
  return (
    <div className="thread-foot">
      {closed && <Alert color="yellow" variant="light" p="xs" mb="xs"><Text size="sm">{t('thread.closed')}</Text></Alert>}
      <Group gap="xs" align="flex-end" wrap="nowrap">
        <Textarea
          flex={1} autosize minRows={1} maxRows={8} aria-label={t('thread.write')} placeholder={t('thread.write')} value={text} onKeyDown={onKey} dir="auto"
          onChange={(e) => setText(e.currentTarget.value)} error={length > LONGEST ? t('thread.tooLong', { count: length - LONGEST }) : undefined}
        />
        <ActionIcon size={36} aria-label={t('action.send')} onClick={send} disabled={text.trim() === '' || length > LONGEST || closed}>
          <IconSend size={18} className="flip" />
        </ActionIcon>
      </Group>
      <Text size="xs" c="dimmed" mt={4} visibleFrom="sm">
        {conversation.handedOverUntil ? t('thread.hint') : t('thread.hintTakeOver')}
      </Text>
    </div>
  );
}
