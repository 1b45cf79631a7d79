// What was checked with Meta, and what came of it.
import { Group, List, Text, ThemeIcon } from '@mantine/core';
import { IconCheck, IconMinus, IconX } from '@tabler/icons-react';
import { useSpeech, type Key } from '../../i18n';

/** The server's words for what it left out. */
const NOT_ASKED = 'not asked after the failure above';
interface Check { name: string; status: string; detail: string }
const LOOKS: Record<string, { icon: typeof IconCheck; color: string }> = {
  ok: { icon: IconCheck, color: 'brand' }, failed: { icon: IconX, color: 'red' }, skipped: { icon: IconMinus, color: 'gray' },
};

export function Checks({ of }: { of: readonly unknown[] }) {
  const { t, known } = useSpeech();
  return (
    <List spacing="sm" listStyleType="none" center={false} ps={0}>
      {(of as Check[]).map((check) => {
        const look = LOOKS[check.status] ?? { icon: IconMinus, color: 'gray' };
        const name = `check.${check.name}`;
        const state = `state.${check.status}`;
        return (
          <List.Item key={check.name} icon={<ThemeIcon size={22} radius="xl" variant="light" color={look.color} role="img" aria-label={known(state) ? t(state) : check.status}><look.icon size={14} /></ThemeIcon>}>
            <Group gap={6}><Text size="sm" fw={600}>{known(name) ? t(name) : check.name.replaceAll('_', ' ')}</Text></Group>
            <Text size="xs" c="dimmed" className="break">{check.status === 'ok' && known(`${name}.ok`) ? t(`${name}.ok` as Key) : check.detail === NOT_ASKED ? t('check.notAsked') : <bdi lang="en">{check.detail}</bdi>}</Text>
          </List.Item>
        );
      })}
    </List>
  );
}
