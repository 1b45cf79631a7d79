// Small things that many pages show.
import { ActionIcon, Badge, Box, Code, CopyButton, Group, Text, Title, Tooltip } from '@mantine/core';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import { useEffect, useState, type ReactNode } from 'react';
import { useSpeech } from '../i18n';

/** A page with its title, a sentence about it, and what can be done. */
export function Page({ title, text, actions, children, wide = false }: {
  title: string; text?: string; actions?: ReactNode; children: ReactNode; wide?: boolean;
}) {
  useEffect(() => { document.title = `${title} · Switchboard`; }, [title]);
  return (
    <Box className="page" {...(wide ? { maw: 'none' } : {})}>
      <Group justify="space-between" align="flex-start" mb="md" gap="sm">
        <Box>
          <Title order={1}><bdi>{title}</bdi></Title>
          {text !== undefined && <Text c="dimmed" size="sm" mt={2} maw={680}>{text}</Text>}
        </Box>
        {actions !== undefined && <Group gap="xs">{actions}</Group>}
      </Group>
      {children}
    </Box>
  );
}

const COLORS: Record<string, string> = {
  active: 'brand', connected: 'brand', ok: 'brand', sent: 'brand', delivered: 'brand', read: 'brand', played: 'brand', answered: 'brand', done: 'brand',
  pending: 'yellow', connecting: 'yellow', pairing: 'blue', queued: 'blue', sending: 'blue', restricted: 'yellow', unknown: 'yellow', parked: 'yellow', skipped: 'gray', received: 'blue',
  inactive: 'gray', cancelled: 'gray', ignored: 'gray', disconnected: 'yellow', expired: 'yellow', unroutable: 'yellow',
  token_invalid: 'red', failed: 'red', dead: 'red', logged_out: 'red', refused: 'red', quarantined: 'red',
};

/** A state as a small coloured word. */
export function State({ of, size = 'md' }: { of: string; size?: string }) {
  const { t, known } = useSpeech();
  const key = `state.${of}`;
  return <Badge className="badge" size={size} variant="light" color={COLORS[of] ?? 'gray'} tt="none" fw={600}>{known(key) ? t(key) : of.replaceAll('_', ' ')}</Badge>;
}

/** A reason's word as a sentence; the server's own words where we have none. */
export function useReason() {
  const { t, known } = useSpeech();
  return (reason: string | null | undefined, otherwise?: string | null): string | null => {
    if (!reason) return otherwise ?? null;
    const key = `reason.${reason}`;
    return known(key) ? t(key) : (otherwise ?? reason.replaceAll('_', ' '));
  };
}

/** Something to be copied as it is. */
export function Copyable({ value, label, secret = false }: { value: string; label: string; secret?: boolean }) {
  const { t } = useSpeech();
  return (
    <Box>
      <Text size="sm" fw={500} mb={2}>{label}</Text>
      <Group gap={6} wrap="nowrap">
        <Code className="ltr break" flex={1} p={8} fz="sm" data-secret={secret || undefined}>{value}</Code>
        <CopyButton value={value}>
          {({ copied, copy }) => (
            <Tooltip label={copied ? t('action.copied') : t('action.copy')}>
              <ActionIcon variant="default" size="lg" onClick={copy} aria-label={`${t('action.copy')}: ${label}`}>
                {copied ? <IconCheck size={16} /> : <IconCopy size={16} />}
              </ActionIcon>
            </Tooltip>
          )}
        </CopyButton>
      </Group>
    </Box>
  );
}

/** The size of a file. */
export function useBytes() {
  const { t, number } = useSpeech();
  return (size: number) => (size < 1_000_000
    ? t('size.kb', { value: number(Math.max(1, Math.round(size / 1000))) })
    : t('size.mb', { value: number(size / 1_000_000, { maximumFractionDigits: 1 }) }));
}

/** The time, ticking: for what is told relative to it. */
export function useNow(every = 1000) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

/** "3 minutes ago", with the exact time on demand. */
export function Ago({ at }: { at: string }) {
  const { ago, time } = useSpeech();
  const now = useNow(15_000);
  return <time dateTime={at} title={time(at)}>{ago(at, now)}</time>;
}

/** A phone number, whichever way the page runs. */
export const Phone = ({ of }: { of: string }) => <bdi className="ltr tabular">{/^\d+$/.test(of) ? `+${of}` : of}</bdi>;
