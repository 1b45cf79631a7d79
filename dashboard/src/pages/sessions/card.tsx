// The settings' card "WhatsApp Integration": connected, waiting to be scanned, or not connected; one button each.
import { Badge, Box, Button, Group, Modal, Stack, Text, Title } from '@mantine/core';
import { IconBrandWhatsapp } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/client';
import { useMay } from '../../app/session';
import { useSpeech } from '../../i18n';
import { Phone, State } from '../../ui/common';
import { ErrorNote } from '../../ui/error-note';
import { LinkAnchor } from '../../ui/links';
import { Loaded } from '../../ui/states';
import { SESSION, sessionsQuery, useQr, useSession, type Session } from './data';

/** While somebody scans, the state is asked for this often, in milliseconds. */
const POLL = 3000;

export function IntegrationCard() {
  const { t } = useSpeech();
  const may = useMay('admin');
  const client = useQueryClient();
  const query = useQuery({ ...sessionsQuery, refetchInterval: POLL });
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const attempt = async (action: () => Promise<unknown>) => {
    setBusy(true);
    setFailure(null);
    try {
      await action();
      await client.invalidateQueries({ queryKey: ['sessions'] });
    } catch (error) {
      setFailure(error);
    } finally {
      setBusy(false);
    }
  };
  const connect = (known: Session | undefined) => attempt(() => (known
    ? api('post', `${SESSION}/start`, { params: { name: known.name } })
    : api('post', '/api/v1/sessions', { body: {} as never })));
  return (
    <Box className="panel" p="md" component="section" aria-labelledby="integration-title">
      <Group justify="space-between" mb="sm">
        <Title order={2} id="integration-title">{t('connect.integration')}</Title>
        <LinkAnchor to="/whatsapp-connect" size="sm">{t('connect.more')}</LinkAnchor>
      </Group>
      <Loaded query={query} rows={3}>{(sessions) => {
        const session = sessions.find((one) => one.isDefault) ?? sessions[0];
        const scanning = session && ['pairing', 'connecting'].includes(session.state);
        return (
          <Stack gap="sm" align="flex-start">
            {session?.state === 'connected' && <Connected session={session} may={may} busy={busy} onDisconnect={() => void attempt(() => api('post', `${SESSION}/logout`, { params: { name: session.name } }))} />}
            {session && scanning && (may ? <Scan name={session.name} /> : <Text size="sm" c="dimmed">{t('connect.notYours')}</Text>)}
            {(!session || (session.state !== 'connected' && !scanning)) && (
              <>
                <Text size="sm" c="dimmed">{may ? t('connect.first') : t('connect.notYours')}</Text>
                {session && <State of={session.state} />}
                {may && <Button loading={busy} leftSection={<IconBrandWhatsapp size={18} aria-hidden />} onClick={() => void connect(session)}>{t('connect.connect')}</Button>}
              </>
            )}
            {failure !== null && <ErrorNote error={failure} />}
          </Stack>
        );
      }}</Loaded>
    </Box>
  );
}

function Connected({ session, may, busy, onDisconnect }: { session: Session; may: boolean; busy: boolean; onDisconnect: () => void }) {
  const { t } = useSpeech();
  const [sure, setSure] = useState(false);
  return (
    <>
      <Group gap="sm" role="status">
        <Badge className="badge" color="green" variant="light" tt="none" size="lg">{t('connect.connected')}</Badge>
        {session.phone && <Text size="sm">{t('connect.phoneIs')} <b><Phone of={session.phone} /></b></Text>}
      </Group>
      {may && <Button color="red" variant="light" loading={busy} onClick={() => setSure(true)}>{t('connect.disconnect')}</Button>}
      <Modal opened={sure} onClose={() => setSure(false)} title={t('connect.disconnectTitle')} centered>
        <Text size="sm">{t('connect.disconnectText')}</Text>
        <Group justify="flex-end" mt="md" gap="xs">
          <Button variant="default" onClick={() => setSure(false)}>{t('action.cancel')}</Button>
          <Button color="red" onClick={() => { setSure(false); onDisconnect(); }}>{t('connect.disconnect')}</Button>
        </Group>
      </Modal>
    </>
  );
}

/** The code in the card; the big one with its countdown and the other ways is one click away. */
function Scan({ name }: { name: string }) {
  const { t } = useSpeech();
  const session = useSession(name).data;
  const picture = useQr(name, session?.qr?.version ?? 0, Boolean(session?.qr)).data;
  const stale = !session?.qr || session.qr.expired;
  return (
    <Stack gap="xs" align="flex-start">
      <Text size="sm">{t('connect.how')}:</Text>
      <div className="qr small" data-stale={stale || undefined}>
        {picture ? <img src={picture} alt={t('connect.alt')} width={300} height={300} /> : <Text size="sm" c="#0c2a27">{t('connect.preparing')}</Text>}
      </div>
    </Stack>
  );
}
