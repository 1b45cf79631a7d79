// One official number: how it stands, what Meta says about it, and what can be changed.
import { Alert, Anchor, Box, Button, Group, Modal, PasswordInput, SegmentedControl, SimpleGrid, Stack, Text, TextInput, Title } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../../api/client';
import type { Integration } from '../../api/types';
import { useMay } from '../../app/session';
import { useSpeech, type Key } from '../../i18n';
import { Ago, Copyable, Page, State, useReason } from '../../ui/common';
import { ErrorNote, useSentence } from '../../ui/error-note';
import { useForm } from '../../ui/form';
import { Gone, Loaded } from '../../ui/states';
import { Checklist } from './checklist';
import { Checks } from './checks';
import { numberQuery } from './data';
import { TestMessage } from './test-message';

/** Does something with the number, and shows what came of it. */
export function useAction(id: string) {
  const { t } = useSpeech();
  const client = useQueryClient();
  const sentence = useSentence();
  return useMutation({
    mutationFn: ({ action }: { action: () => Promise<unknown>; done: Key }) => action(),
    onSuccess: (_, { done }) => notifications.show({ color: 'brand', message: t(done) }),
    onError: (error) => notifications.show({ color: 'red', message: sentence(error) }),
    onSettled: () => Promise.all([client.invalidateQueries({ queryKey: ['numbers'] }), client.invalidateQueries({ queryKey: ['numbers', id] })]),
  });
}

function Status({ number, may }: { number: Integration; may: boolean }) {
  const { t } = useSpeech();
  const reason = useReason();
  const action = useAction(number.id);
  const params = { id: number.id };
  const off = number.status === 'inactive';
  return (
    <Box className="panel" p="md">
      <Group justify="space-between" mb="sm">
        <Group gap="xs"><Title order={2}>{t('number.status')}</Title><State of={number.status} /></Group>
        {may && (
          <Group gap="xs">
            <Button size="xs" variant="default" loading={action.isPending} onClick={() => action.mutate({ done: 'number.wasChecked', action: () => api('post', '/api/v1/whatsapp/integration/{id}/check', { params }) })}>{t('number.check')}</Button>
            <Button size="xs" variant="default" color={off ? 'brand' : 'red'} loading={action.isPending} onClick={() => action.mutate({ done: off ? 'number.wasResumed' : 'number.wasSuspended', action: () => api('patch', '/api/v1/whatsapp/integration/{id}', { params, body: { status: off ? 'active' : 'inactive' } as never }) })}>
              {off ? t('number.resume') : t('number.suspend')}
            </Button>
          </Group>
        )}
      </Group>
      {number.status !== 'active' && number.statusReason && <Alert color="yellow" variant="light" mb="sm">{reason(number.statusReason, number.advice)}</Alert>}
      <Checks of={number.checks} />
      {number.checkedAt && <Text size="xs" c="dimmed" mt="sm">{t('number.checked')} <Ago at={number.checkedAt} /></Text>}
    </Box>
  );
}

function Webhook({ number, may }: { number: Integration; may: boolean }) {
  const { t } = useSpeech();
  const action = useAction(number.id);
  return (
    <Box className="panel" p="md">
      <Title order={2} mb="sm">{t('number.webhook')}</Title>
      <Stack gap="sm">
        {number.callbackUrl && <Copyable label={t('number.callback')} value={number.callbackUrl} />}
        <Text size="sm">{t('number.verifyToken')}: <span className="ltr">{number.verifyToken}</span></Text>
        <Text size="sm">{number.verifiedAt ? <>{t('number.verified')} <Ago at={number.verifiedAt} /></> : t('number.notVerified')}</Text>
        {may && (
          <Group>
            <Button size="xs" variant="default" loading={action.isPending} onClick={() => action.mutate({ done: 'number.wasSubscribed', action: () => api('post', '/api/v1/whatsapp/integration/{id}/subscribe', { params: { id: number.id }, body: {} }) })}>{t('number.subscribe')}</Button>
          </Group>
        )}
      </Stack>
    </Box>
  );
}

function Change({ number }: { number: Integration }) {
  const { t } = useSpeech();
  const client = useQueryClient();
  const form = useForm({ accessToken: '', appSecret: '', verifyToken: '', displayPhoneNumber: number.displayPhoneNumber ?? '', mode: number.mode });
  const { values, set, error } = form;
  const save = async () => {
    const changed = Object.fromEntries(Object.entries(values).filter(([name, value]) =>
      value !== '' && value !== (number as unknown as Record<string, unknown>)[name]));
    if (Object.keys(changed).length === 0) return;
    if (await form.submit(async () => {
      await api('patch', '/api/v1/whatsapp/integration/{id}', { params: { id: number.id }, body: changed as never });
      notifications.show({ color: 'brand', message: t('action.saved') });
      await client.invalidateQueries({ queryKey: ['numbers'] });
    })) form.reset({ ...values, accessToken: '', appSecret: '', verifyToken: '' });
  };
  return (
    <Box className="panel" p="md">
      <Title order={2} mb="sm">{t('number.change')}</Title>
      <form onSubmit={(event) => { event.preventDefault(); void save(); }}>
        <Stack gap="sm">
          <PasswordInput label={t('meta.accessToken')} description={t('number.newToken', { masked: number.accessToken })} autoComplete="off" value={values.accessToken} error={error('accessToken')} onChange={(e) => set('accessToken', e.currentTarget.value)} />
          <PasswordInput label={t('meta.appSecret')} description={number.appSecret ? t('number.newToken', { masked: number.appSecret }) : t('number.platformSecret')} autoComplete="off" value={values.appSecret} error={error('appSecret')} onChange={(e) => set('appSecret', e.currentTarget.value)} />
          <TextInput label={t('meta.verifyToken')} description={t('number.newToken', { masked: number.verifyToken })} autoComplete="off" value={values.verifyToken} error={error('verifyToken')} onChange={(e) => set('verifyToken', e.currentTarget.value)} />
          <TextInput label={t('meta.display')} value={values.displayPhoneNumber} error={error('displayPhoneNumber')} onChange={(e) => set('displayPhoneNumber', e.currentTarget.value)} />
          <div>
            <Text size="sm" fw={500} id="mode-label">{t('number.mode')}</Text>
            <Text size="xs" c="dimmed" mb={4}>{t('number.modeText')}</Text>
            <SegmentedControl aria-labelledby="mode-label" size="xs" value={values.mode} onChange={(mode) => set('mode', mode)} data={(['all', 'primary', 'shadow'] as const).map((value) => ({ value, label: t(`mode.${value}`) }))} />
          </div>
          {form.problem !== null && <ErrorNote error={form.problem} />}
          <Group><Button type="submit" loading={form.busy}>{t('action.save')}</Button></Group>
        </Stack>
      </form>
    </Box>
  );
}

function Remove({ number }: { number: Integration }) {
  const { t } = useSpeech();
  const [sure, setSure] = useState(false);
  const navigate = useNavigate();
  const action = useAction(number.id);
  const remove = () => action.mutate(
    { done: 'number.wasRemoved', action: () => api('delete', '/api/v1/whatsapp/integration/{id}', { params: { id: number.id } }) },
    { onSuccess: () => void navigate({ to: '/numbers' }) },
  );
  return (
    <Group justify="flex-end">
      <Button variant="subtle" color="red" onClick={() => setSure(true)}>{t('number.remove')}</Button>
      <Modal opened={sure} onClose={() => setSure(false)} title={t('number.removeTitle')} centered>
        <Text size="sm">{t('number.removeText')}</Text>
        <Group justify="flex-end" mt="md" gap="xs">
          <Button variant="default" onClick={() => setSure(false)}>{t('action.cancel')}</Button>
          <Button color="red" loading={action.isPending} onClick={remove}>{t('number.remove')}</Button>
        </Group>
      </Modal>
    </Group>
  );
}

export function OneNumber() {
  const { t } = useSpeech();
  const { id } = useParams({ from: '/app/numbers/$id' });
  const query = useQuery({ ...numberQuery(id), refetchInterval: 5000 });
  const may = useMay('admin');
  const mayWrite = useMay('agent');
  return (
    <Loaded query={query} rows={6}>{(number) => number === null
      ? <Gone />
      : (
        <Page title={number.displayPhoneNumber ?? number.phoneNumberId}>
          <Text size="sm" c="dimmed" mt={-12} mb="md">
            {t('number.id')} <span className="ltr tabular">{number.phoneNumberId}</span> · <Anchor component={Link} to={`/chatbots/${number.chatbotId}`} size="sm"><bdi>{number.chatbotId}</bdi></Anchor>
          </Text>
          <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
            <Stack><Status number={number} may={may} />{mayWrite && <TestMessage chatbotId={number.chatbotId} phoneNumberId={number.phoneNumberId} />}</Stack>
            <Stack><Checklist number={number} /><Webhook number={number} may={may} />{may && <Change key={number.updatedAt} number={number} />}</Stack>
          </SimpleGrid>
          {may && <Box mt="md"><Remove number={number} /></Box>}
        </Page>
      )}</Loaded>
  );
}
