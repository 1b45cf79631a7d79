// Linking a phone: the big code with its countdown, what to do on the phone, and a code to type instead.
import { Box, Button, Group, List, Loader, RingProgress, Stack, Text, TextInput, Title } from '@mantine/core';
import { IconDeviceMobile } from '@tabler/icons-react';
import { useState } from 'react';
import { api } from '../../api/client';
import { useSpeech } from '../../i18n';
import { useNow } from '../../ui/common';
import { ErrorNote } from '../../ui/error-note';
import { useForm } from '../../ui/form';
import { SESSION, useQr, type Session } from './data';

function Countdown({ qr }: { qr: NonNullable<Session['qr']> }) {
  const { t, number } = useSpeech();
  const now = useNow(500);
  if (!qr.expiresAt || qr.expired) return null;
  const end = Date.parse(qr.expiresAt);
  const whole = !qr.generatedAt ? 60_000 : Math.max(end - Date.parse(qr.generatedAt), 1000);
  const left = Math.max(end - now, 0);
  return (
    <Group gap={6} justify="center" role="timer">
      <RingProgress size={26} thickness={4} sections={[{ value: (100 * left) / whole, color: 'brand' }]} aria-hidden />
      <Text size="sm" c="dimmed" className="tabular">{left > 0 ? t('connect.renewsIn', { seconds: number(Math.ceil(left / 1000)) }) : t('connect.renewing')}</Text>
    </Group>
  );
}

function Code({ session }: { session: Session }) {
  const { t } = useSpeech();
  const [open, setOpen] = useState(false);
  const [code, setCode] = useState<string | null>(null);
  const form = useForm({ phoneNumber: '' });
  const ask = () => form.submit(async () => {
    const body = { phoneNumber: form.values.phoneNumber.replace(/[\s()-]/g, '') };
    const answer = await api('post', `${SESSION}/pairing-code`, { params: { name: session.name }, body });
    setCode(answer.data.code);
  });
  if (!open) return <Button variant="subtle" size="compact-sm" onClick={() => setOpen(true)}>{t('connect.byCode')}</Button>;
  return (
    <Box w="100%" maw={340} mx="auto">
      {code === null ? (
        <form onSubmit={(event) => { event.preventDefault(); void ask(); }}>
          <Stack gap="xs">
            <TextInput label={t('connect.phone')} description={t('connect.phoneText')} type="tel" required placeholder="+34 600 000 000" value={form.values.phoneNumber} error={form.error('phoneNumber')} onChange={(e) => form.set('phoneNumber', e.currentTarget.value)} classNames={{ input: 'ltr' }} />
            {form.problem !== null && <ErrorNote error={form.problem} compact />}
            <Button type="submit" variant="light" loading={form.busy}>{t('connect.getCode')}</Button>
          </Stack>
        </form>
      ) : (
        <Stack gap={4} align="center" role="status">
          <Text size="sm" c="dimmed" ta="center">{t('connect.codeText')}</Text>
          <Text fz={34} fw={700} className="ltr tabular" style={{ letterSpacing: '0.12em' }} data-code>{code}</Text>
          <Button size="compact-xs" variant="subtle" onClick={() => setCode(null)}>{t('connect.otherCode')}</Button>
        </Stack>
      )}
    </Box>
  );
}

/** In the demo nobody has a phone that could scan: the sandbox's does it. */
function SandboxPhone({ session }: { session: Session }) {
  const { t } = useSpeech();
  const scan = () => fetch('/sandbox/handset/scan', {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ session: session.name, phone: '15550009000' }),
  });
  return <Button variant="light" size="xs" leftSection={<IconDeviceMobile size={15} />} onClick={() => void scan()}>{t('connect.sandbox')}</Button>;
}

export function Pairing({ session, mayPair }: { session: Session; mayPair: boolean }) {
  const { t } = useSpeech();
  const picture = useQr(session.name, session.qr?.version ?? 0, mayPair && Boolean(session.qr)).data;
  const stale = !session.qr || session.qr.expired || session.state !== 'pairing';
  if (!mayPair) return <Text c="dimmed" py="md">{t('connect.notYours')}</Text>;
  return (
    <Stack align="center" gap="sm">
      <div className="qr" data-stale={stale || undefined}>
        {picture ? <img src={picture} alt={t('connect.alt')} width={320} height={320} /> : <Loader aria-label={t('connect.preparing')} />}
        {picture && stale && <div className="qr-note"><Loader size="sm" /><Text size="sm" fw={600}>{t('connect.renewing')}</Text></div>}
      </div>
      {session.qr ? <Countdown qr={session.qr} /> : <Text size="sm" c="dimmed">{t('connect.preparing')}</Text>}
      <Box maw={380}>
        <Title order={3} size="h3" mb={4}>{t('connect.how')}</Title>
        <List type="ordered" size="sm" spacing={2}>
          <List.Item>{t('connect.step1')}</List.Item>
          <List.Item>{t('connect.step2')}</List.Item>
          <List.Item>{t('connect.step3')}</List.Item>
        </List>
      </Box>
      {session.engine === 'sandbox' && <SandboxPhone session={session} />}
      <Code session={session} />
    </Stack>
  );
}
