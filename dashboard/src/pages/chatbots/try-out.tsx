// Asks a chatbot's responder a question, and shows the exact request and response.
import { Alert, Box, Button, Group, Stack, Tabs, Text, Textarea, Title } from '@mantine/core';
import { useState } from 'react';
import { call, Problem } from '../../api/client';
import type { Chatbot } from '../../api/types';
import { useSpeech } from '../../i18n';
import { ErrorNote } from '../../ui/error-note';
import { useForm } from '../../ui/form';

interface Tried { answer?: string | null; failure?: string | null; reason?: string | null; durationMs?: number; request?: unknown; response?: unknown }

const shown = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value, null, 2));

export function TryOut({ bot }: { bot: Chatbot }) {
  const { t, number } = useSpeech();
  const form = useForm({ message: t('tryOut.words') });
  const [tried, setTried] = useState<Tried | null>(null);
  const ask = () => form.submit(async () => {
    const answer = await call('post', '/api/v1/chatbots/{id}/test', { params: { id: bot.id }, body: form.values }) as { data: Tried };
    setTried(answer.data);
  });
  const absent = form.problem instanceof Problem && form.problem.status === 404;
  return (
    <Box className="panel" p="md" style={{ alignSelf: 'start' }}>
      <Title order={2} mb={4}>{t('tryOut.title')}</Title>
      <Text size="sm" c="dimmed" mb="sm">{t('tryOut.text')}</Text>
      <form onSubmit={(event) => { event.preventDefault(); void ask(); }}>
        <Stack gap="sm">
          <Textarea autosize minRows={2} aria-label={t('tryOut.message')} required value={form.values.message} error={form.error('message')} onChange={(e) => form.set('message', e.currentTarget.value)} dir="auto" />
          <Group><Button type="submit" variant="light" loading={form.busy}>{t('tryOut.ask')}</Button>{form.busy && <Text size="sm" c="dimmed" role="status">{t('tryOut.waiting')}</Text>}</Group>
          {form.problem !== null && !absent && <ErrorNote error={form.problem} />}
          {absent && <Alert color="yellow" variant="light">{t('tryOut.absent')}</Alert>}
        </Stack>
      </form>
      {tried && (
        <Stack gap="sm" mt="md" role="status">
          {tried.answer
            ? <Box className="bubble in" maw="100%"><p dir="auto">{tried.answer}</p></Box>
            : <Alert color="red" variant="light" title={t('tryOut.failed')}>{tried.failure ?? tried.reason}</Alert>}
          {tried.durationMs !== undefined && <Text size="xs" c="dimmed">{t('tryOut.took', { time: number(tried.durationMs) })}</Text>}
          <Tabs defaultValue="request">
            <Tabs.List><Tabs.Tab value="request">{t('tryOut.request')}</Tabs.Tab><Tabs.Tab value="response">{t('tryOut.response')}</Tabs.Tab></Tabs.List>
            <Tabs.Panel value="request" pt="xs"><pre className="raw" tabIndex={0}>{shown(tried.request)}</pre></Tabs.Panel>
            <Tabs.Panel value="response" pt="xs"><pre className="raw" tabIndex={0}>{shown(tried.response)}</pre></Tabs.Panel>
          </Tabs>
        </Stack>
      )}
    </Box>
  );
}
