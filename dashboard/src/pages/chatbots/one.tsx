// One chatbot: who answers for it, how it waits and falls back, and a question to try it with.
import { Box, Button, Group, Modal, NumberInput, PasswordInput, SegmentedControl, SimpleGrid, Stack, Switch, Text, TextInput, Textarea, Title } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../../api/client';
import type { Chatbot } from '../../api/types';
import { useMay } from '../../app/session';
import { useSpeech } from '../../i18n';
import { Page } from '../../ui/common';
import { ErrorNote, useSentence } from '../../ui/error-note';
import { useForm } from '../../ui/form';
import { Loaded } from '../../ui/states';
import { Copy } from './copy';
import { chatbotQuery } from './data';
import { TryOut } from './try-out';

const KINDS = ['response_api', 'openai', 'echo'] as const;

/** The settings as the form holds them: the responder's with dots, as the server names them when they are wrong. */
const valuesOf = (bot: Chatbot) => ({
  name: bot.name,
  apiKey: '',
  'responder.kind': String(bot.responder.kind ?? 'response_api'),
  'responder.baseUrl': bot.responder.baseUrl ?? '',
  'responder.path': bot.responder.path ?? '',
  'responder.originUrl': bot.responder.originUrl ?? '',
  'responder.model': bot.responder.model ?? '',
  'responder.systemPrompt': bot.responder.systemPrompt ?? '',
  'responder.timeoutMs': bot.responder.timeoutMs ?? ('' as number | string),
  coalesceMs: bot.coalesceMs as number | string,
  coalesceMaxMs: bot.coalesceMaxMs as number | string,
  historyLimit: bot.historyLimit as number | string,
  fallbackText: bot.fallbackText ?? '',
  typing: bot.typing,
  paused: bot.paused,
});
type Values = ReturnType<typeof valuesOf>;

/** What changed, as a merge patch; what was emptied goes back to its default. */
function patchOf(values: Values, before: Values): Record<string, unknown> {
  const patch: Record<string, unknown> = {};
  const responder: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    if (value === before[name as keyof Values]) continue;
    if (name.startsWith('responder.')) responder[name.slice('responder.'.length)] = value === '' ? null : value;
    else patch[name] = value === '' ? null : value;
  }
  return Object.keys(responder).length > 0 ? { ...patch, responder } : patch;
}

function Settings({ bot, may }: { bot: Chatbot; may: boolean }) {
  const { t } = useSpeech();
  const client = useQueryClient();
  const before = valuesOf(bot);
  const form = useForm(before);
  const { values, set, error } = form;
  const kind = values['responder.kind'];
  const text = (name: 'name' | 'responder.baseUrl' | 'responder.path' | 'responder.originUrl' | 'responder.model', label: string, placeholder = '', description?: string) => (
    <TextInput label={label} description={description} placeholder={placeholder} readOnly={!may} value={values[name]} error={error(name)} onChange={(e) => set(name, e.currentTarget.value)} {...(name === 'name' ? {} : { classNames: { input: 'ltr' } })} />
  );
  const count = (name: 'coalesceMs' | 'coalesceMaxMs' | 'historyLimit' | 'responder.timeoutMs', label: string, description?: string, placeholder = '') => (
    <NumberInput label={label} description={description} placeholder={placeholder} readOnly={!may} min={0} hideControls value={values[name]} error={error(name)} onChange={(value) => set(name, value)} />
  );
  const save = async () => {
    const patch = patchOf(values, before);
    if (Object.keys(patch).length === 0) return;
    await form.submit(async () => {
      const { data } = await api('patch', '/api/v1/chatbots/{id}', { params: { id: bot.id }, body: patch as never });
      notifications.show({ color: 'brand', message: t('action.saved') });
      client.setQueryData(['chatbots', bot.id], data);
      form.reset(valuesOf(data));
      void client.invalidateQueries({ queryKey: ['chatbots'] });
    });
  };
  const unchanged = Object.keys(patchOf(values, before)).length === 0;
  return (
    <form onSubmit={(event) => { event.preventDefault(); void save(); }}>
      <Stack gap="md">
        <Box className="panel" p="md">
          <Title order={2} mb="sm">{t('chatbot.who')}</Title>
          <Stack gap="sm">
            {text('name', t('chatbot.name'))}
            <div>
              <Text size="sm" fw={500} mb={4} id="kind-label">{t('chatbot.kind')}</Text>
              <SegmentedControl aria-labelledby="kind-label" fullWidth disabled={!may} value={kind} onChange={(value) => set('responder.kind', value)} data={KINDS.map((value) => ({ value, label: t(`responder.${value}`) }))} />
            </div>
            {kind !== 'echo' && text('responder.baseUrl', t('responder.baseUrl'), kind === 'openai' ? 'https://api.openai.com/v1' : t('responder.serverDefault'))}
            {kind === 'response_api' && text('responder.path', t('responder.path'), '/response')}
            {kind === 'response_api' && text('responder.originUrl', t('responder.originUrl'), 'whatsapp://chat', t('responder.originText'))}
            {kind === 'openai' && text('responder.model', t('responder.model'))}
            {kind === 'openai' && (
              <Textarea autosize minRows={3} maxRows={12} label={t('responder.prompt')} readOnly={!may} value={values['responder.systemPrompt']} error={error('responder.systemPrompt')} onChange={(e) => set('responder.systemPrompt', e.currentTarget.value)} dir="auto" />
            )}
            {kind !== 'echo' && (
              <PasswordInput label={t('chatbot.apiKey')} description={bot.apiKey ? t('number.newToken', { masked: bot.apiKey }) : t('chatbot.noKey')} readOnly={!may} autoComplete="off" value={values.apiKey} error={error('apiKey')} onChange={(e) => set('apiKey', e.currentTarget.value)} />
            )}
            {kind !== 'echo' && count('responder.timeoutMs', t('responder.timeout'), undefined, '30000')}
          </Stack>
        </Box>
        <Box className="panel" p="md">
          <Title order={2} mb="sm">{t('chatbot.how')}</Title>
          <Stack gap="sm">
            <SimpleGrid cols={{ base: 1, xs: 2 }}>
              {count('coalesceMs', t('chatbot.coalesce'), t('chatbot.coalesceText'))}
              {count('coalesceMaxMs', t('chatbot.coalesceMax'), t('chatbot.coalesceMaxText'))}
            </SimpleGrid>
            {count('historyLimit', t('chatbot.history'), t('chatbot.historyText'))}
            <Textarea autosize minRows={2} label={t('chatbot.fallback')} description={t('chatbot.fallbackText')} readOnly={!may} value={values.fallbackText} error={error('fallbackText')} onChange={(e) => set('fallbackText', e.currentTarget.value)} dir="auto" />
            <Switch label={t('chatbot.typing')} disabled={!may} checked={values.typing} onChange={(e) => set('typing', e.currentTarget.checked)} />
            <Switch label={t('chatbot.pause')} description={t('chatbot.pauseText')} disabled={!may} checked={values.paused} onChange={(e) => set('paused', e.currentTarget.checked)} />
          </Stack>
        </Box>
        {form.problem !== null && <ErrorNote error={form.problem} />}
        {may && <Group><Button type="submit" loading={form.busy} disabled={unchanged}>{t('action.save')}</Button></Group>}
      </Stack>
    </form>
  );
}

function Remove({ bot }: { bot: Chatbot }) {
  const { t } = useSpeech();
  const client = useQueryClient();
  const sentence = useSentence();
  const navigate = useNavigate();
  const [sure, setSure] = useState(false);
  const remove = async () => {
    try {
      await api('delete', '/api/v1/chatbots/{id}', { params: { id: bot.id } });
      await navigate({ to: '/chatbots' });
      client.removeQueries({ queryKey: ['chatbots', bot.id] });
      void client.invalidateQueries({ queryKey: ['chatbots'] });
    } catch (error) {
      notifications.show({ color: 'red', message: sentence(error) });
    }
  };
  return (
    <>
      <Button variant="subtle" color="red" onClick={() => setSure(true)}>{t('chatbot.remove')}</Button>
      <Modal opened={sure} onClose={() => setSure(false)} title={t('chatbot.removeTitle', { name: bot.name })} centered>
        <Text size="sm">{t('chatbot.removeText')}</Text>
        <Group justify="flex-end" mt="md" gap="xs">
          <Button variant="default" onClick={() => setSure(false)}>{t('action.cancel')}</Button>
          <Button color="red" onClick={() => void remove()}>{t('chatbot.remove')}</Button>
        </Group>
      </Modal>
    </>
  );
}

export function OneChatbot() {
  const { id } = useParams({ from: '/app/chatbots/$id' });
  const may = useMay('admin');
  const query = useQuery(chatbotQuery(id));
  return (
    <Loaded query={query} rows={7}>{(bot) => (
      <Page title={bot.name} {...(bot.name === bot.id ? {} : { text: bot.id })} actions={may ? <><Copy bot={bot} /><Remove bot={bot} /></> : undefined}>
        <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
          <Settings key={bot.id} bot={bot} may={may} />
          <TryOut bot={bot} />
        </SimpleGrid>
      </Page>
    )}</Loaded>
  );
}
