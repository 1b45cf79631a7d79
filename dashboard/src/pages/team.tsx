// The people who may sign in: invited by a link, with a role, and removed.
import { Alert, Badge, Box, Button, Group, Modal, Select, Stack, Switch, Text, TextInput } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconUserPlus } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../api/client';
import type { Role, User } from '../api/types';
import { useMay, useMe } from '../app/session';
import { useSpeech } from '../i18n';
import { Copyable, Page } from '../ui/common';
import { ErrorNote, useSentence } from '../ui/error-note';
import { useForm } from '../ui/form';
import { Loaded } from '../ui/states';

const ROLES: Role[] = ['viewer', 'agent', 'admin', 'owner'];

function Invite({ onMade }: { onMade: (link: string) => void }) {
  const { t } = useSpeech();
  const me = useMe();
  const client = useQueryClient();
  const form = useForm<{ email: string; name: string; role: string; platform: boolean }>({ email: '', name: '', role: 'agent', platform: false });
  const submit = () => form.submit(async () => {
    const { email, name, role, platform } = form.values;
    const { data } = await api('post', '/api/v1/users', { body: { email, role, ...(name ? { name } : {}), ...(platform ? { platform } : {}) } as never });
    void client.invalidateQueries({ queryKey: ['users'] });
    onMade(data.link);
  });
  return (
    <form onSubmit={(event) => { event.preventDefault(); void submit(); }}>
      <Stack gap="sm">
        <TextInput data-autofocus label={t('login.email')} type="email" required value={form.values.email} error={form.error('email')} onChange={(e) => form.set('email', e.currentTarget.value)} />
        <TextInput label={t('keys.name')} value={form.values.name} error={form.error('name')} onChange={(e) => form.set('name', e.currentTarget.value)} />
        <Select label={t('team.role')} description={t(`team.may.${form.values.role as Role}`)} allowDeselect={false} value={form.values.role} error={form.error('role')} onChange={(role) => form.set('role', role ?? 'viewer')} data={ROLES.map((value) => ({ value, label: t(`role.${value}`) }))} />
        {me.platform && <Switch label={t('team.platform')} description={t('team.platformText')} checked={form.values.platform} onChange={(e) => form.set('platform', e.currentTarget.checked)} />}
        {form.problem !== null && <ErrorNote error={form.problem} />}
        <Group justify="flex-end"><Button type="submit" loading={form.busy}>{t('team.invite')}</Button></Group>
      </Stack>
    </form>
  );
}

function Row({ user, may, onLink, onRemove }: { user: User; may: boolean; onLink: (link: string) => void; onRemove: () => void }) {
  const { t } = useSpeech();
  const me = useMe();
  const client = useQueryClient();
  const sentence = useSentence();
  const params = { id: user.id };
  const attempt = async (action: () => Promise<void>) => {
    try {
      await action();
    } catch (error) {
      notifications.show({ color: 'red', message: sentence(error) });
    }
    await client.invalidateQueries({ queryKey: ['users'] });
  };
  return (
    <Group p="sm" px="md" justify="space-between" gap="sm">
      <Box miw={190} flex={1}>
        <Group gap="xs"><Text fw={600} size="sm" className="break"><bdi>{user.name}</bdi></Text>{user.status === 'invited' && <Badge className="badge" variant="light" color="yellow" tt="none">{t('team.invited')}</Badge>}</Group>
        <Text size="xs" c="dimmed" className="break">{user.email}</Text>
      </Box>
      <Group gap="xs">
        {may
          ? <Select size="xs" w={140} aria-label={`${t('team.role')}: ${user.email}`} allowDeselect={false} value={user.role} data={ROLES.map((value) => ({ value, label: t(`role.${value}`) }))} onChange={(role) => void attempt(async () => { await api('patch', '/api/v1/users/{id}', { params, body: { role } as never }); })} />
          : <Text size="sm" c="dimmed">{t(`role.${user.role as Role}`)}</Text>}
        {may && <Button size="xs" variant="default" onClick={() => void attempt(async () => { onLink((await api('post', '/api/v1/users/{id}/link', { params })).data.link); })}>{t('team.newLink')}</Button>}
        {may && user.id !== me.id && <Button size="xs" variant="subtle" color="red" onClick={onRemove}>{t('team.remove')}</Button>}
      </Group>
    </Group>
  );
}

export function Team() {
  const { t } = useSpeech();
  const me = useMe();
  const may = useMay('owner');
  const client = useQueryClient();
  const sentence = useSentence();
  const [inviting, setInviting] = useState(false);
  const [link, setLink] = useState<string | null>(null);
  const [leaving, setLeaving] = useState<User | null>(null);
  const query = useQuery({
    queryKey: ['users'],
    queryFn: async ({ signal }) => {
      const own = (await api('get', '/api/v1/users', { query: { limit: 200 }, signal })).data;
      const platform = me.platform ? (await api('get', '/api/v1/users', { query: { limit: 200, platform: true }, signal })).data : [];
      return [...own, ...platform];
    },
  });
  const remove = async () => {
    if (!leaving) return;
    try {
      await api('delete', '/api/v1/users/{id}', { params: { id: leaving.id } });
      setLeaving(null);
    } catch (error) {
      notifications.show({ color: 'red', message: sentence(error) });
    }
    await client.invalidateQueries({ queryKey: ['users'] });
  };
  const row = (user: User) => <Row key={user.id} user={user} may={may} onLink={setLink} onRemove={() => setLeaving(user)} />;
  return (
    <Page title={t('nav.team')} text={t('team.text')} actions={may ? <Button leftSection={<IconUserPlus size={17} />} onClick={() => setInviting(true)}>{t('team.invite')}</Button> : undefined}>
      <Loaded query={query}>{(users) => {
        const own = users.filter((user) => !user.platform);
        const platform = users.filter((user) => user.platform);
        return (
          <Stack gap="lg">
            {own.length > 0 ? <Box className="panel rows">{own.map(row)}</Box> : <Text c="dimmed" size="sm">{t('team.none')}</Text>}
            {platform.length > 0 && <Box><Text fw={600} size="sm" mb="xs">{t('team.platformPeople')}</Text><Box className="panel rows">{platform.map(row)}</Box></Box>}
          </Stack>
        );
      }}</Loaded>
      <Modal opened={inviting} onClose={() => setInviting(false)} title={t('team.invite')} centered><Invite onMade={(made) => { setInviting(false); setLink(made); }} /></Modal>
      <Modal opened={link !== null} onClose={() => setLink(null)} title={t('team.linkTitle')} centered closeOnClickOutside={false}>
        <Stack gap="sm">
          <Alert color="yellow" variant="light">{t('team.linkText')}</Alert>
          <Copyable label={t('team.link')} value={link ?? ''} secret />
          <Group justify="flex-end"><Button onClick={() => setLink(null)}>{t('action.done')}</Button></Group>
        </Stack>
      </Modal>
      <Modal opened={leaving !== null} onClose={() => setLeaving(null)} title={t('team.removeTitle', { name: leaving?.name ?? '' })} centered>
        <Text size="sm">{t('team.removeText')}</Text>
        <Group justify="flex-end" mt="md" gap="xs"><Button variant="default" onClick={() => setLeaving(null)}>{t('action.cancel')}</Button><Button color="red" onClick={() => void remove()}>{t('team.remove')}</Button></Group>
      </Modal>
    </Page>
  );
}
