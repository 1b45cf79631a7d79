// Connects an official number, step by step: whose it is, Meta's five values, the webhook, a message both ways.
import { Alert, Anchor, Autocomplete, Box, Button, Group, Loader, PasswordInput, SimpleGrid, Stack, Stepper, Text, TextInput, Title } from '@mantine/core';
import { IconCircleCheck, IconExternalLink, IconRefresh } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api, Problem } from '../../api/client';
import type { Integration } from '../../api/types';
import { useSpeech, type Key } from '../../i18n';
import { Ago, Copyable, Page, State } from '../../ui/common';
import { ErrorNote, useSentence } from '../../ui/error-note';
import { useForm } from '../../ui/form';
import { chatbotsQuery } from '../chatbots/data';
import { Checks } from './checks';
import { numberQuery, randomToken } from './data';
import { bodyOf, LiveCheck } from './live-check';
import { TestMessage } from './test-message';

const FIELDS = ['phoneNumberId', 'businessAccountId', 'accessToken', 'verifyToken', 'appSecret'] as const;

/** Where Meta shows each value; the verify token is ours. */
const PLACES: Partial<Record<(typeof FIELDS)[number], string>> = {
  phoneNumberId: 'https://developers.facebook.com/apps/', businessAccountId: 'https://business.facebook.com/wa/manage/phone-numbers/',
  accessToken: 'https://business.facebook.com/settings/system-users', appSecret: 'https://developers.facebook.com/apps/',
};

function Help({ of }: { of: (typeof FIELDS)[number] }) {
  const { t } = useSpeech();
  const place = PLACES[of];
  return (
    <Text size="xs" c="dimmed" component="span">
      {t(`meta.${of}.help` as Key)}{' '}
      {place && <Anchor href={place} target="_blank" rel="noreferrer" size="xs" underline="always" style={{ whiteSpace: 'nowrap' }}>{t('wizard.atMeta')} <IconExternalLink size={12} aria-hidden style={{ verticalAlign: '-1px' }} /></Anchor>}
    </Text>
  );
}

function Values({ onDone }: { onDone: (integration: Integration, verifyToken: string) => void }) {
  const { t } = useSpeech();
  const client = useQueryClient();
  const chatbots = useQuery(chatbotsQuery).data ?? [];
  const form = useForm({ chatbotId: '', phoneNumberId: '', businessAccountId: '', accessToken: '', verifyToken: randomToken(), appSecret: '' });
  const { values, set, error } = form;
  const digits = (text: string) => text.replace(/\D/g, '');
  const submit = () => form.submit(async () => {
    const answer = await api('post', '/api/v1/whatsapp/integration', { body: bodyOf(values) as never });
    void client.invalidateQueries({ queryKey: ['numbers'] });
    void client.invalidateQueries({ queryKey: ['chatbots'] });
    onDone(answer.data, values.verifyToken);
  });
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }} spacing="xl">
    <form onSubmit={(event) => { event.preventDefault(); void submit(); }}>
      <Stack gap="md">
        <Autocomplete label={t('wizard.chatbot')} description={t('wizard.chatbotText')} required data={chatbots.map((bot) => bot.id)} value={values.chatbotId} error={error('chatbotId')} onChange={(value) => set('chatbotId', value)} />
        <TextInput label={t('meta.phoneNumberId')} description={<Help of="phoneNumberId" />} required inputMode="numeric" autoComplete="off" value={values.phoneNumberId} error={error('phoneNumberId')} onChange={(e) => set('phoneNumberId', digits(e.currentTarget.value))} classNames={{ input: 'ltr' }} />
        <TextInput label={t('meta.businessAccountId')} description={<Help of="businessAccountId" />} required autoComplete="off" value={values.businessAccountId} error={error('businessAccountId')} onChange={(e) => set('businessAccountId', e.currentTarget.value.trim())} classNames={{ input: 'ltr' }} />
        <PasswordInput label={t('meta.accessToken')} description={<Help of="accessToken" />} required autoComplete="off" value={values.accessToken} error={error('accessToken')} onChange={(e) => set('accessToken', e.currentTarget.value.trim())} />
        <TextInput
          label={t('meta.verifyToken')} description={<Help of="verifyToken" />} required autoComplete="off" value={values.verifyToken} error={error('verifyToken')} onChange={(e) => set('verifyToken', e.currentTarget.value.trim())}
          classNames={{ input: 'ltr' }} rightSectionWidth={44}
          rightSection={<Button variant="subtle" size="compact-sm" px={6} aria-label={t('wizard.newToken')} onClick={() => set('verifyToken', randomToken())}><IconRefresh size={16} /></Button>}
        />
        <PasswordInput label={t('meta.appSecret')} description={<Help of="appSecret" />} autoComplete="off" value={values.appSecret} error={error('appSecret')} onChange={(e) => set('appSecret', e.currentTarget.value.trim())} />
        {form.problem !== null && <ErrorNote error={form.problem} />}
        <Group><Button type="submit" loading={form.busy}>{t('wizard.check')}</Button>{form.busy && <Text size="sm" c="dimmed" role="status">{t('wizard.asking')}</Text>}</Group>
      </Stack>
    </form>
    <div className="beside"><LiveCheck values={values} /></div>
    </SimpleGrid>
  );
}

function Webhook({ integration, verifyToken, onDone }: { integration: Integration; verifyToken: string; onDone: () => void }) {
  const { t } = useSpeech();
  const client = useQueryClient();
  const sentence = useSentence();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const number = useQuery({ ...numberQuery(integration.id), refetchInterval: 1500 }).data ?? integration;
  const verified = number.verifiedAt !== null && number.verifiedAt !== undefined;
  const subscribe = async (force: boolean) => {
    setBusy(true);
    setFailure(null);
    try {
      const { data } = await api('post', '/api/v1/whatsapp/integration/{id}/subscribe', { params: { id: integration.id }, body: { force } });
      client.setQueryData(['numbers', integration.id], data);
    } catch (error) {
      setFailure(error);
    } finally {
      setBusy(false);
    }
  };
  const foreign = failure instanceof Problem && failure.code === 'foreign_override';
  return (
    <Stack gap="md" maw={620}>
      <Box className="panel" p="md">
        <Group justify="space-between" mb="sm"><Title order={2}>{t('wizard.metaSays')}</Title><State of={number.status} /></Group>
        <Checks of={number.checks} />
      </Box>
      <Box className="panel" p="md">
        <Title order={2} mb={4}>{t('wizard.webhookTitle')}</Title>
        <Text size="sm" c="dimmed" mb="sm">{t('wizard.webhookText')}</Text>
        <Button loading={busy} onClick={() => void subscribe(false)}>{t('wizard.subscribe')}</Button>
        {foreign && (
          <Alert color="yellow" variant="light" mt="sm" title={sentence(failure)}>
            <Button size="xs" variant="default" loading={busy} onClick={() => void subscribe(true)}>{t('wizard.replace')}</Button>
          </Alert>
        )}
        {failure !== null && !foreign && <Box mt="sm"><ErrorNote error={failure} /></Box>}
        <Text size="sm" mt="md" mb="xs">{t('wizard.byHand')}</Text>
        <Stack gap="sm">
          {number.callbackUrl ? <Copyable label={t('number.callback')} value={number.callbackUrl} /> : <Alert color="yellow" variant="light">{t('wizard.noUrl')}</Alert>}
          <Copyable label={t('meta.verifyToken')} value={verifyToken} secret />
        </Stack>
      </Box>
      <Box className="panel" p="md" role="status">
        {verified && number.verifiedAt
          ? <Group gap="xs"><IconCircleCheck color="var(--mantine-color-brand-7)" aria-hidden /><Text fw={600}>{t('wizard.verified')} <Ago at={number.verifiedAt} /></Text></Group>
          : <Group gap="sm"><Loader size="sm" /><Text size="sm">{t('wizard.waiting')}</Text></Group>}
      </Box>
      <Group><Button variant={verified ? 'filled' : 'default'} onClick={onDone}>{verified ? t('action.next') : t('wizard.later')}</Button></Group>
    </Stack>
  );
}

export function Wizard() {
  const { t } = useSpeech();
  const navigate = useNavigate();
  const [step, setStep] = useState(0);
  const [made, setMade] = useState<{ integration: Integration; verifyToken: string } | null>(null);
  return (
    <Page title={t('wizard.title')} text={t('wizard.text')}>
      <Stepper active={step} size="sm" mb="lg" allowNextStepsSelect={false} {...(made ? { onStepClick: (n: number) => { if (n > 0) setStep(n); } } : {})}>
        <Stepper.Step label={t('wizard.values')} />
        <Stepper.Step label={t('wizard.webhook')} />
        <Stepper.Step label={t('wizard.test')} />
      </Stepper>
      {(step === 0 || made === null) && <Values onDone={(integration, verifyToken) => { setMade({ integration, verifyToken }); setStep(1); }} />}
      {step === 1 && made && <Webhook {...made} onDone={() => setStep(2)} />}
      {step === 2 && made && (
        <Stack gap="md" maw={620}>
          <TestMessage chatbotId={made.integration.chatbotId} phoneNumberId={made.integration.phoneNumberId} />
          <Text size="sm" c="dimmed">{t('wizard.responder')} <Anchor component={Link} to={`/chatbots/${made.integration.chatbotId}`} size="sm">{t('wizard.toChatbot')}</Anchor></Text>
          <Group><Button onClick={() => void navigate({ to: '/numbers/$id', params: { id: made.integration.id } })}>{t('action.done')}</Button></Group>
        </Stack>
      )}
    </Page>
  );
}
