// Keys for machines: made, shown once, and taken back.
import { Alert, Badge, Box, Button, Group, Modal, Select, Stack, Text, TextInput } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconKey, IconPlus } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../api/client';
import type { ApiKey, Role } from '../api/types';
import { atLeast, useMe } from '../app/session';
import { useSpeech } from '../i18n';
import { Ago, Copyable, Page } from '../ui/common';
import { ErrorNote, useSentence } from '../ui/error-note';
import { useForm } from '../ui/form';
import { Empty, Loaded } from '../ui/states';

const ROLES: Role[] = ['viewer', 'agent', 'admin', 'owner'];

function New({ onMade }: { onMade: (key: string) => void }) {
  const { t } = useSpeech();
  const me = useMe();
  const client = useQueryClient();
  const form = useForm<{ name: string; role: string }>({ name: '', role: atLeast(me.role, 'admin') ? 'admin' : me.role });
  const submit = () => form.submit(async () => {
    const { data } = await api('post', '/api/v1/api-keys', { body: form.values as never });
    void client.invalidateQueries({ queryKey: ['api-keys'] });
    onMade(data.key);
  });
  return (
    <form onSubmit={(event) => { event.preventDefault(); void submit(); }}>
      <Stack gap="sm">
        <TextInput data-autofocus label={t('keys.name')} description={t('keys.nameText')} required value={form.values.name} error={form.error('name')} onChange={(e) => form.set('name', e.currentTarget.value)} />
        <Select label={t('team.role')} allowDeselect={false} value={form.values.role} error={form.error('role')} onChange={(role) => form.set('role', role ?? 'viewer')} data={ROLES.filter((role) => atLeast(me.role, role)).map((value) => ({ value, label: t(`role.${value}`) }))} />
        {form.problem !== null && <ErrorNote error={form.problem} />}
        <Group justify="flex-end"><Button type="submit" loading={form.busy}>{t('keys.make')}</Button></Group>
      </Stack>
    </form>
  );
}

function Row({ row, onRevoke }: { row: ApiKey; onRevoke: () => void }) {
  const { t, known } = useSpeech();
  const role = `role.${row.role}`;
  return (
    <Group p="sm" px="md" justify="space-between" gap="sm">
      <Box miw={0}>
        <Text fw={600} size="sm" className="break">{row.name}</Text>
        <Text size="xs" c="dimmed"><span className="ltr">{row.maskedKey}</span> · {known(role) ? t(role) : row.role}</Text>
        <Text size="xs" c="dimmed">{row.lastUsedAt ? <>{t('keys.used')} <Ago at={row.lastUsedAt} /></> : t('keys.unused')}</Text>
      </Box>
      {row.revokedAt
        ? <Badge className="badge" color="gray" variant="light" tt="none">{t('keys.revoked')}</Badge>
        : <Button size="xs" variant="default" color="red" onClick={onRevoke}>{t('keys.revoke')}</Button>}
    </Group>
  );
}

export function ApiKeys() {
  const { t } = useSpeech();
  const client = useQueryClient();
  const sentence = useSentence();
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<string | null>(null);
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  const query = useQuery({
    queryKey: ['api-keys'],
    queryFn: async ({ signal }) => (await api('get', '/api/v1/api-keys', { query: { limit: 200 }, signal })).data,
  });
  const revoke = async () => {
    if (!revoking) return;
    try {
      await api('delete', '/api/v1/api-keys/{id}', { params: { id: revoking.id } });
      setRevoking(null);
      await client.invalidateQueries({ queryKey: ['api-keys'] });
    } catch (error) {
      notifications.show({ color: 'red', message: sentence(error) });
    }
  };
  const make = <Button leftSection={<IconPlus size={17} />} onClick={() => { setMade(null); setMaking(true); }}>{t('keys.make')}</Button>;
  return (
    <Page title={t('nav.apiKeys')} text={t('keys.text')} actions={make}>
      <Loaded query={query}>{(keys) => (keys.length === 0
        ? <Empty icon={<IconKey size={40} stroke={1.2} />} title={t('keys.none')} text={t('keys.noneText')} action={make} />
        : <Box className="panel rows">{keys.map((row) => <Row key={row.id} row={row} onRevoke={() => setRevoking(row)} />)}</Box>)}</Loaded>
      <Modal opened={making} onClose={() => setMaking(false)} title={t('keys.make')} centered closeOnClickOutside={made === null}>
        {made === null ? <New onMade={setMade} /> : (
          <Stack gap="sm">
            <Alert color="yellow" variant="light">{t('keys.once')}</Alert>
            <Copyable label={t('keys.key')} value={made} secret />
            <Group justify="flex-end"><Button onClick={() => setMaking(false)}>{t('action.done')}</Button></Group>
          </Stack>
        )}
      </Modal>
      <Modal opened={revoking !== null} onClose={() => setRevoking(null)} title={t('keys.revokeTitle')} centered>
        <Text size="sm">{t('keys.revokeText', { name: revoking?.name ?? '' })}</Text>
        <Group justify="flex-end" mt="md" gap="xs">
          <Button variant="default" onClick={() => setRevoking(null)}>{t('action.cancel')}</Button>
          <Button color="red" onClick={() => void revoke()}>{t('keys.revoke')}</Button>
        </Group>
      </Modal>
    </Page>
  );
}
