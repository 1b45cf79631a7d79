// A message both ways: one out to a phone, and word of the first one that comes in.
import { Box, Button, Group, Stack, Text, TextInput, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api, call } from '../../api/client';
import type { Conversation } from '../../api/types';
import { useSpeech } from '../../i18n';
import { Ago, State, useReason } from '../../ui/common';
import { ErrorNote } from '../../ui/error-note';
import { useForm } from '../../ui/form';

export function Fate({ id }: { id: string }) {
  const { t } = useSpeech();
  const reason = useReason();
  const delivery = useQuery({
    queryKey: ['delivery', id], refetchInterval: 1500,
    queryFn: async ({ signal }) => (await api('get', '/api/v1/deliveries/{id}', { params: { id }, signal })).data,
  }).data;
  if (delivery === undefined) return null;
  return (
    <Group gap="xs" role="status">
      <Text size="sm">{t('test.stands')}</Text><State of={delivery.status} />
      {delivery.reason && <Text size="xs" c="dimmed">{reason(delivery.reason, delivery.advice)}</Text>}
    </Group>
  );
}

/** The latest conversation of this number since it is watched. */
function useFirstWord(chatbotId: string, phoneNumberId: string) {
  const [since] = useState(() => Date.now() - 2000);
  const query = useQuery({
    queryKey: ['conversations', 'watch', chatbotId], refetchInterval: 1500,
    queryFn: ({ signal }) => call('get', '/api/v1/conversations', { query: { chatbotId, limit: 5 }, signal }) as Promise<{ data: Conversation[] }>,
  });
  return query.data?.data.find((one) => one.phoneNumberId === phoneNumberId && Date.parse(one.lastMessageAt) >= since);
}

export function TestMessage({ chatbotId, phoneNumberId }: { chatbotId: string; phoneNumberId: string }) {
  const { t } = useSpeech();
  const form = useForm({ to: '', message: t('test.words') });
  const [sent, setSent] = useState<string | null>(null);
  const heard = useFirstWord(chatbotId, phoneNumberId);
  const send = () => form.submit(async () => {
    const answer = await api('post', '/api/v1/whatsapp/send', { query: { chatbotId, phoneNumberId }, body: { to: form.values.to.replace(/[\s()-]/g, ''), message: form.values.message } as never });
    setSent(answer.data.id);
  });
  return (
    <Box className="panel" p="md">
      <Title order={2} mb={4}>{t('test.title')}</Title>
      <Text size="sm" c="dimmed" mb="sm">{t('test.text')}</Text>
      <form onSubmit={(event) => { event.preventDefault(); void send(); }}>
        <Stack gap="sm">
          <TextInput label={t('test.to')} placeholder="+34 600 000 000" type="tel" inputMode="tel" required value={form.values.to} error={form.error('to')} onChange={(e) => form.set('to', e.currentTarget.value)} classNames={{ input: 'ltr' }} />
          <TextInput label={t('test.message')} required value={form.values.message} error={form.error('message')} onChange={(e) => form.set('message', e.currentTarget.value)} />
          {form.problem !== null && <ErrorNote error={form.problem} />}
          <Group justify="space-between"><Button type="submit" variant="light" loading={form.busy}>{t('test.send')}</Button>{sent !== null && <Fate id={sent} />}</Group>
        </Stack>
      </form>
      <Box mt="md" role="status">
        {heard
          ? <Text size="sm">{t('test.heard')} <Ago at={heard.lastMessageAt} />. <Link to="/conversations/$id" params={{ id: heard.id }}>{t('failures.conversation')}</Link></Text>
          : <Text size="sm" c="dimmed">{t('test.waiting')}</Text>}
      </Box>
    </Box>
  );
}
