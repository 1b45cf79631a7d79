// The same chatbot once more: under another id, and for whoever may, for another client. Its key is a secret and stays behind.
import { Alert, Button, Group, Modal, Select, Stack, TextInput } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../../api/client';
import type { Chatbot } from '../../api/types';
import { chooseTenant, chosenTenant, useMe } from '../../app/session';
import { useSpeech } from '../../i18n';
import { ErrorNote } from '../../ui/error-note';
import { useForm } from '../../ui/form';

function Form({ bot, onDone }: { bot: Chatbot; onDone: () => void }) {
  const { t } = useSpeech();
  const me = useMe();
  const client = useQueryClient();
  const navigate = useNavigate();
  const form = useForm<{ id: string; name: string; tenant: string | null }>({ id: `${bot.id}-2`.slice(0, 64), name: bot.name, tenant: me.platform ? chosenTenant() : null });
  const submit = () => form.submit(async () => {
    const { id, name, tenant } = form.values;
    const { coalesceMs, coalesceMaxMs, historyLimit, fallbackText, typing, responder } = bot;
    const given = Object.fromEntries(Object.entries(responder).filter(([, value]) => value !== null));
    const before = chosenTenant();
    const moves = tenant !== null && tenant !== before;
    if (moves) chooseTenant(tenant);
    try {
      await api('post', '/api/v1/chatbots', { body: { id, name, coalesceMs, coalesceMaxMs, historyLimit, fallbackText, typing, responder: given } as never });
    } catch (error) {
      if (moves) chooseTenant(before);
      throw error;
    }
    client.removeQueries({ predicate: ({ queryKey }) => !['me', 'sandbox'].includes(String(queryKey[0])) });
    notifications.show({ color: 'brand', message: t('copy.done') });
    onDone();
    await navigate({ to: '/chatbots/$id', params: { id } });
  });
  return (
    <form onSubmit={(event) => { event.preventDefault(); void submit(); }}>
      <Stack gap="sm">
        {me.platform && me.tenants.length > 1 && (
          <Select label={t('tenant.choose')} allowDeselect={false} data={me.tenants.map((one) => ({ value: one.id, label: one.name }))} value={form.values.tenant} onChange={(tenant) => form.set('tenant', tenant)} />
        )}
        <TextInput data-autofocus label={t('chatbot.name')} required value={form.values.name} error={form.error('name')} onChange={(e) => form.set('name', e.currentTarget.value)} />
        <TextInput label={t('chatbot.id')} required value={form.values.id} error={form.error('id')} onChange={(e) => form.set('id', e.currentTarget.value.trim())} classNames={{ input: 'ltr' }} />
        <Alert color="yellow" variant="light" p="xs">{t('copy.key')}</Alert>
        {form.problem !== null && <ErrorNote error={form.problem} />}
        <Group justify="flex-end"><Button type="submit" loading={form.busy}>{t('copy.do')}</Button></Group>
      </Stack>
    </form>
  );
}

export function Copy({ bot }: { bot: Chatbot }) {
  const { t } = useSpeech();
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button variant="default" onClick={() => setOpen(true)}>{t('copy.do')}</Button>
      <Modal opened={open} onClose={() => setOpen(false)} title={t('copy.title', { name: bot.name })} centered><Form bot={bot} onDone={() => setOpen(false)} /></Modal>
    </>
  );
}
