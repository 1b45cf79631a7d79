// How much was said, how quickly it was answered, what failed; by chatbot and day, for people and for spreadsheets.
import { Box, Button, Group, SegmentedControl, Select, SimpleGrid, Stack, Table, Text, Title } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconChartBar, IconDownload } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { address, raw } from '../../api/client';
import { useSpeech } from '../../i18n';
import { Page, useReason } from '../../ui/common';
import { useSentence } from '../../ui/error-note';
import { saveAs } from '../../ui/save';
import { Empty, Loaded } from '../../ui/states';
import { Chart, COLORS } from './chart';
import { bars, daysQuery, figuresQuery, type ChatbotFigures, type Day } from './data';

const SPANS = ['7', '30', '90'] as const;

function Reasons({ of }: { of: Day[] }) {
  const { t, number } = useSpeech();
  const reasonOf = useReason();
  const sums = new Map<string, number>();
  for (const day of of) for (const [reason, count] of Object.entries(day.failureReasons)) sums.set(reason, (sums.get(reason) ?? 0) + count);
  const sorted = [...sums].sort((a, b) => b[1] - a[1]).slice(0, 8);
  if (sorted.length === 0) return <Text size="sm" c="dimmed">{t('failures.none')}</Text>;
  return (
    <Stack gap={6}>
      {sorted.map(([reason, count]) => (
        <Group key={reason} justify="space-between" wrap="nowrap" gap="sm"><Text size="sm">{reasonOf(reason) ?? t('reason.none')}</Text><Text size="sm" fw={600} className="tabular">{number(count)}</Text></Group>
      ))}
    </Stack>
  );
}

function ChatbotTable({ rows }: { rows: ChatbotFigures[] }) {
  const { t, number, duration } = useSpeech();
  const took = (ms: number | null | undefined) => (ms == null ? '—' : duration(ms));
  return (
    <Table.ScrollContainer minWidth={760} type="native" tabIndex={0}>
      <Table verticalSpacing="xs" className="tabular">
        <Table.Thead>
          <Table.Tr>
            {(['analytics.chatbot', 'home.received', 'analytics.byChatbot', 'analytics.byPeople', 'analytics.contacts', 'analytics.active', 'analytics.p50', 'analytics.p95', 'home.wrong'] as const).map((key) => <Table.Th key={key}>{t(key)}</Table.Th>)}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row) => (
            <Table.Tr key={row.id}>
              <Table.Td className="break"><bdi>{row.id}</bdi></Table.Td><Table.Td>{number(row.userMessages)}</Table.Td><Table.Td>{number(row.aiResponses)}</Table.Td>
              <Table.Td>{number(row.agentResponses)}</Table.Td><Table.Td>{number(row.totalContacts)}</Table.Td><Table.Td>{number(row.activeConversations)}</Table.Td>
              <Table.Td>{took(row.latencyP50)}</Table.Td><Table.Td>{took(row.latencyP95)}</Table.Td><Table.Td>{number(row.failures + row.unanswered)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

export function Analytics() {
  const { t } = useSpeech();
  const sentence = useSentence();
  const search = useSearch({ from: '/app/analytics' });
  const navigate = useNavigate();
  const days = Number(search.days ?? '30');
  const chatbots = useQuery(figuresQuery(days));
  const perDay = useQuery(daysQuery(days, search.chatbot));
  const change = (part: { days?: string; chatbot?: string }) =>
    void navigate({ to: '/analytics', search: Object.fromEntries(Object.entries({ ...search, ...part }).filter(([, value]) => value)), replace: true });
  const download = async (path: string) => {
    try {
      await saveAs(await raw('get', address(path, {}, { days, chatbotId: search.chatbot, format: 'csv' })), `${path.split('/').at(-1) ?? 'analytics'}.csv`);
    } catch (error) {
      notifications.show({ color: 'red', message: sentence(error) });
    }
  };
  return (
    <Page title={t('nav.analytics')} text={t('analytics.text')} actions={(
      <>
        <Button variant="default" leftSection={<IconDownload size={16} />} onClick={() => void download('/api/v1/analytics/per-day')}>{t('analytics.csvDays')}</Button>
        <Button variant="default" leftSection={<IconDownload size={16} />} onClick={() => void download('/api/v1/analytics')}>{t('analytics.csv')}</Button>
      </>
    )}>
      <Group mb="md" gap="sm">
        <SegmentedControl value={String(days)} onChange={(value) => change({ days: value })} aria-label={t('analytics.span')} data={SPANS.map((value) => ({ value, label: t('analytics.lastDays', { count: Number(value) }) }))} />
        {(chatbots.data?.length ?? 0) > 1 && (
          <Select clearable aria-label={t('inbox.chatbot')} placeholder={t('inbox.everyChatbot')} value={search.chatbot ?? null} data={(chatbots.data ?? []).map((row) => row.id)} onChange={(chatbot) => change({ chatbot: chatbot ?? '' })} />
        )}
      </Group>
      <Loaded query={perDay} rows={8}>{(rows) => (rows.length === 0
        ? <Empty icon={<IconChartBar size={40} stroke={1.2} />} title={t('analytics.none')} text={t('analytics.noneText')} />
        : (
          <Stack gap="md">
            <Box className="panel chart-panel">
              <Chart
                title={t('analytics.messages')} bars={bars(rows, days, (day) => [day.userMessages ?? 0, day.aiResponses ?? 0, (day.agentResponses ?? 0) + (day.apiMessages ?? 0)])}
                series={[{ label: t('author.contact'), color: COLORS.first }, { label: t('author.chatbot'), color: COLORS.second }, { label: t('author.person'), color: COLORS.third }]}
              />
            </Box>
            <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
              <Box className="panel chart-panel">
                <Chart title={t('analytics.failures')} bars={bars(rows, days, (day) => [(day.failures ?? 0) + (day.unanswered ?? 0)])} series={[{ label: t('home.wrong'), color: COLORS.bad }]} />
              </Box>
              <Box className="panel" p="md"><Title order={2} mb="sm">{t('analytics.reasons')}</Title><Reasons of={rows} /></Box>
            </SimpleGrid>
            <Box className="panel" p="md"><Title order={2} mb="xs">{t('nav.chatbots')}</Title><Loaded query={chatbots}>{(figures) => <ChatbotTable rows={figures} />}</Loaded></Box>
          </Stack>
        ))}</Loaded>
    </Page>
  );
}
