// The platform's clients: made here, and chosen to work for.
import { Box, Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../api/client';
import { chooseTenant } from '../app/session';
import { useSpeech } from '../i18n';
import { Ago, Page } from '../ui/common';
import { ErrorNote } from '../ui/error-note';
import { useForm } from '../ui/form';
import { Loaded } from '../ui/states';

function New({ onMade }: { onMade: () => void }) {
  const { t } = useSpeech();
  const client = useQueryClient();
  const form = useForm({ name: '', id: '' });
  const submit = () => form.submit(async () => {
    const { name, id } = form.values;
    await api('post', '/api/v1/tenants', { body: { name, ...(id === '' ? {} : { id }) } as never });
    await Promise.all([client.invalidateQueries({ queryKey: ['tenants'] }), client.invalidateQueries({ queryKey: ['me'] })]);
    onMade();
  });
  return (
    <form onSubmit={(event) => { event.preventDefault(); void submit(); }}>
      <Stack gap="sm">
        <TextInput data-autofocus label={t('chatbot.name')} required value={form.values.name} error={form.error('name')} onChange={(e) => form.set('name', e.currentTarget.value)} />
        <TextInput label={t('chatbot.id')} description={t('chatbot.idText')} value={form.values.id} error={form.error('id')} onChange={(e) => form.set('id', e.currentTarget.value.trim())} classNames={{ input: 'ltr' }} />
        {form.problem !== null && <ErrorNote error={form.problem} />}
        <Group justify="flex-end"><Button type="submit" loading={form.busy}>{t('tenants.make')}</Button></Group>
      </Stack>
    </form>
  );
}

export function Tenants() {
  const { t } = useSpeech();
  const client = useQueryClient();
  const navigate = useNavigate();
  const [making, setMaking] = useState(false);
  const query = useQuery({
    queryKey: ['tenants'],
    queryFn: async ({ signal }) => (await api('get', '/api/v1/tenants', { query: { limit: 200 }, signal })).data,
  });
  const workFor = (id: string) => {
    chooseTenant(id);
    client.removeQueries({ predicate: ({ queryKey }) => !['me', 'sandbox', 'tenants'].includes(String(queryKey[0])) });
    void navigate({ to: '/' });
  };
  return (
    <Page title={t('nav.tenants')} text={t('tenants.text')} actions={<Button leftSection={<IconPlus size={17} />} onClick={() => setMaking(true)}>{t('tenants.make')}</Button>}>
      <Loaded query={query}>{(tenants) => (
        <Box className="panel rows">
          {tenants.map((tenant) => (
            <Group key={tenant.id} p="sm" px="md" justify="space-between" gap="sm">
              <Box miw={0}>
                <Text fw={600} size="sm" className="break"><bdi>{tenant.name}</bdi></Text>
                <Text size="xs" c="dimmed" className="break"><bdi>{tenant.id}</bdi> · <Ago at={tenant.createdAt} /></Text>
              </Box>
              <Button size="xs" variant="default" onClick={() => workFor(tenant.id)}>{t('tenants.open')}</Button>
            </Group>
          ))}
        </Box>
      )}</Loaded>
      <Modal opened={making} onClose={() => setMaking(false)} title={t('tenants.make')} centered><New onMade={() => setMaking(false)} /></Modal>
    </Page>
  );
}
