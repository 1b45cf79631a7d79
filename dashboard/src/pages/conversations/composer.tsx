// Where a person answers: words, a file, a template. What is typed stays until it is sent, through reloads and sign-ins.
import { ActionIcon, Alert, Badge, Button, CloseButton, FileButton, Group, Text, Textarea, Tooltip } from '@mantine/core';
import { IconPaperclip, IconSend, IconTemplate } from '@tabler/icons-react';
import { useEffect, useRef, useState, type ClipboardEvent, type KeyboardEvent } from 'react';
import type { Conversation } from '../../api/types';
import { useSpeech } from '../../i18n';
import { useBytes } from '../../ui/common';
import { isSession } from '../sessions/data';
import { kindOf } from './file-kind';
import { write } from './outgoing';
import { TemplateDialog } from './template';

/** Longest message and longest words below a file, in characters. */
const LONGEST = 4096;
const CAPTION = 1024;
const draftKey = (id: string) => `switchboard-draft-${id}`;

/** Numbers linked by QR code know no window, no templates, and take words alone. */
export const isLinked = (conversation: Conversation) => isSession(conversation.phoneNumberId);

export function Composer({ conversation, closed, onWrite }: { conversation: Conversation; closed: boolean; onWrite: () => void }) {
  const { t } = useSpeech();
  const bytes = useBytes();
  const { id } = conversation;
  const linked = isLinked(conversation);
  const unwanted = conversation.optedOutAt !== null && conversation.optedOutAt !== undefined;
  const [text, setText] = useState(() => sessionStorage.getItem(draftKey(id)) ?? '');
  const [file, setFile] = useState<File | null>(null);
  const [template, setTemplate] = useState(false);
  const box = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (text === '') sessionStorage.removeItem(draftKey(id));
    else sessionStorage.setItem(draftKey(id), text);
  }, [id, text]);
  const mute = closed || unwanted;
  const wordless = file !== null && kindOf(file) === 'audio';
  const over = [...text].length - (file ? CAPTION : LONGEST);
  const ready = !mute && over <= 0 && (file !== null || text.trim() !== '');
  const send = () => {
    if (!ready) return;
    write(id, wordless ? '' : text, file ?? undefined);
    if (!wordless) setText('');
    setFile(null);
    onWrite();
    box.current?.focus();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      send();
    }
  };
  const onPaste = (event: ClipboardEvent) => {
    const pasted = event.clipboardData.files[0];
    if (!pasted || linked || mute) return;
    event.preventDefault();
    setFile(pasted);
  };
  return (
    <div className="thread-foot">
      {unwanted && <Alert color="yellow" variant="light" p="xs" mb="xs"><Text size="sm">{t('thread.optedOut')}</Text></Alert>}
      {closed && !unwanted && (
        <Alert color="yellow" variant="light" p="xs" mb="xs">
          <Group justify="space-between" gap="xs">
            <Text size="sm" flex="1 1 220px">{t('thread.closed')}</Text>
            <Button size="xs" variant="default" leftSection={<IconTemplate size={15} aria-hidden />} onClick={() => setTemplate(true)}>{t('template.send')}</Button>
          </Group>
        </Alert>
      )}
      {file && (
        <Group gap={4} mb="xs" className="attached">
          <Badge className="badge" variant="light" color="gray" tt="none" size="lg" maw="100%" leftSection={<IconPaperclip size={13} aria-hidden />}><bdi>{file.name}</bdi> · {bytes(file.size)}</Badge>
          <CloseButton size="sm" aria-label={t('thread.detach')} onClick={() => setFile(null)} />
          {wordless && text !== '' && <Text size="xs" c="dimmed">{t('thread.audioWordless')}</Text>}
        </Group>
      )}
      <Group gap={6} align="flex-end" wrap="nowrap">
        {!linked && (
          <>
            <FileButton onChange={setFile} disabled={mute}>
              {(props) => (
                <Tooltip label={t('thread.attach')}>
                  <ActionIcon {...props} variant="subtle" color="gray" size={36} aria-label={t('thread.attach')} disabled={mute}><IconPaperclip size={19} /></ActionIcon>
                </Tooltip>
              )}
            </FileButton>
            <Tooltip label={t('template.send')}>
              <ActionIcon variant="subtle" color="gray" size={36} aria-label={t('template.send')} disabled={unwanted} onClick={() => setTemplate(true)}><IconTemplate size={19} /></ActionIcon>
            </Tooltip>
          </>
        )}
        <Textarea
          ref={box} flex={1} autosize minRows={1} maxRows={8} aria-label={t('thread.write')} placeholder={file ? t('thread.caption') : t('thread.write')} value={text}
          onKeyDown={onKey} onPaste={onPaste} dir="auto" onChange={(e) => setText(e.currentTarget.value)}
          error={over > 0 ? t('thread.tooLong', { count: over }) : undefined}
        />
        <ActionIcon size={36} aria-label={t('action.send')} onClick={send} disabled={!ready}>
          <IconSend size={18} className="flip" />
        </ActionIcon>
      </Group>
      <Text size="xs" c="dimmed" mt={4} visibleFrom="sm">
        {conversation.handedOverUntil ? t('thread.hint') : t('thread.hintTakeOver')}
      </Text>
      {!linked && <TemplateDialog conversation={conversation} opened={template} onClose={() => setTemplate(false)} onSent={onWrite} />}
    </div>
  );
}
