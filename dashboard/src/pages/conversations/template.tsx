// A template to a customer: the one kind of message that WhatsApp takes after 24 hours of silence.
import { ActionIcon, Autocomplete, Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconMinus, IconPlus } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/client';
import type { Conversation } from '../../api/types';
import { useSpeech } from '../../i18n';
import { ErrorNote } from '../../ui/error-note';
import { useForm } from '../../ui/form';

/** Languages that templates are mostly written in, as Meta names them; any other may be typed. */
const LANGUAGES = ['en', 'en_US', 'en_GB', 'es', 'es_ES', 'es_MX', 'pt_BR', 'fr', 'de', 'it', 'ar', 'fa', 'tr'];

function Fill({ conversation, onDone }: { conversation: Conversation; onDone: () => void }) {
  const { t, number } = useSpeech();
  const client = useQueryClient();
  const form = useForm({ name: '', language: 'en' }, ['template.name', 'template.language.code']);
  const [values, setValues] = useState<string[]>([]);
  /** The same words keep their key, so that another try sends them once. */
  const [last] = useState({ words: '', key: '' });
  const submit = () => form.submit(async () => {
    const { name, language } = form.values;
    const parameters = values.map((text) => ({ type: 'text', text }));
    const template = { name, language: { code: language }, ...(parameters.length > 0 ? { components: [{ type: 'body', parameters }] } : {}) };
    const words = JSON.stringify(template);
    if (words !== last.words) Object.assign(last, { words, key: crypto.randomUUID() });
    await api('post', '/api/v1/conversations/{id}/messages', {
      params: { id: conversation.id }, body: { type: 'template', template } as never, idempotencyKey: last.key,
    });
    for (const queryKey of [['messages', conversation.id], ['conversation', conversation.id]]) void client.invalidateQueries({ queryKey });
    notifications.show({ color: 'brand', message: t('template.sent') });
    onDone();
  });
  const put = (n: number, text: string) => setValues((before) => before.map((old, at) => (at === n ? text : old)));
  return (
    <form onSubmit={(event) => { event.preventDefault(); void submit(); }}>
      <Stack gap="sm">
        <Text size="sm" c="dimmed">{t('template.text')}</Text>
        <TextInput data-autofocus label={t('template.name')} description={t('template.nameText')} required autoComplete="off" value={form.values.name} error={form.error('template.name')} onChange={(e) => form.set('name', e.currentTarget.value.trim())} classNames={{ input: 'ltr' }} />
        <Autocomplete label={t('template.language')} description={t('template.languageText')} required data={LANGUAGES} value={form.values.language} error={form.error('template.language.code')} onChange={(value) => form.set('language', value.trim())} classNames={{ input: 'ltr' }} />
        {values.map((value, n) => (
          <TextInput
            key={n} label={t('template.value', { n: number(n + 1) })} required value={value} onChange={(e) => put(n, e.currentTarget.value)} dir="auto"
            rightSection={n === values.length - 1 ? <ActionIcon variant="subtle" color="gray" aria-label={t('template.lessValue')} onClick={() => setValues(values.slice(0, -1))}><IconMinus size={15} /></ActionIcon> : undefined}
          />
        ))}
        <Group><Button size="compact-sm" variant="subtle" leftSection={<IconPlus size={14} aria-hidden />} onClick={() => setValues([...values, ''])}>{t('template.moreValue')}</Button></Group>
        {form.problem !== null && <ErrorNote error={form.problem} />}
        <Group justify="flex-end"><Button type="submit" loading={form.busy}>{t('template.send')}</Button></Group>
      </Stack>
    </form>
  );
}

export function TemplateDialog({ conversation, opened, onClose, onSent }: {
  conversation: Conversation; opened: boolean; onClose: () => void; onSent: () => void;
}) {
  const { t } = useSpeech();
  return (
    <Modal opened={opened} onClose={onClose} title={t('template.send')} centered>
      <Fill conversation={conversation} onDone={() => { onClose(); onSent(); }} />
    </Modal>
  );
}
