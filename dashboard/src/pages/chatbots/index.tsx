// The tenant's chatbots: who answers, and how.
import { Badge, Box, Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { IconPlus, IconRobot } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../../api/client';
import { useMay } from '../../app/session';
import { useSpeech } from '../../i18n';
import { Page } from '../../ui/common';
import { ErrorNote } from '../../ui/error-note';
import { useForm } from '../../ui/form';
import { Empty, Loaded } from '../../ui/states';
import { chatbotsQuery } from './data';

function New({ onDone }: { onDone: () => void }) {
  const { t } = useSpeech();
  const navigate = useNavigate();
  const client = useQueryClient();
  const form = useForm({ id: '', name: '' });
  const submit = () => form.submit(async () => {
    const { id, name } = form.values;
    const { data } = await api('post', '/api/v1/chatbots', { body: { name, ...(id === '' ? {} : { id }) } as never });
    await client.invalidateQueries({ queryKey: ['chatbots'] });
    onDone();
    await navigate({ to: '/chatbots/$id', params: { id: data.id } });
  });
  return (
    <form onSubmit={(event) => { event.preventDefault(); void submit(); }}>
      <Stack gap="sm">
        <TextInput data-autofocus label={t('chatbot.name')} required value={form.values.name} error={form.error('name')} onChange={(e) => form.set('name', e.currentTarget.value)} />
        <TextInput label={t('chatbot.id')} description={t('chatbot.idText')} value={form.values.id} error={form.error('id')} onChange={(e) => form.set('id', e.currentTarget.value.trim())} classNames={{ input: 'ltr' }} />
        {form.problem !== null && <ErrorNote error={form.problem} />}
        <Group justify="flex-end"><Button type="submit" loading={form.busy}>{t('chatbots.make')}</Button></Group>
      </Stack>
    </form>
  );
}

export function Chatbots() {
  const { t } = useSpeech();
  const may = useMay('admin');
  const query = useQuery(chatbotsQuery);
  const [making, setMaking] = useState(false);
  const make = <Button leftSection={<IconPlus size={17} />} onClick={() => setMaking(true)}>{t('chatbots.make')}</Button>;
  return (
    <Page title={t('nav.chatbots')} text={t('chatbots.text')} actions={may ? make : undefined}>
      <Loaded query={query}>{(chatbots) => (chatbots.length === 0
        ? <Empty icon={<IconRobot size={40} stroke={1.2} />} title={t('chatbots.none')} text={t('chatbots.noneText')} action={may ? make : undefined} />
        : (
          <Box className="panel rows">
            {chatbots.map((bot) => (
              <Link key={bot.id} to="/chatbots/$id" params={{ id: bot.id }} className="row-link">
                <Group justify="space-between" gap="sm">
                  <Box miw={0}>
                    <Text fw={600} size="sm" className="break"><bdi>{bot.name}</bdi></Text>
                    <Text size="xs" c="dimmed" className="break"><bdi>{bot.id}</bdi> · {t(`responder.${bot.responder.kind ?? 'response_api'}`)}</Text>
                  </Box>
                  {bot.paused && <Badge className="badge" color="yellow" variant="light" tt="none">{t('chatbot.paused')}</Badge>}
                </Group>
              </Link>
            ))}
          </Box>
        ))}</Loaded>
      <Modal opened={making} onClose={() => setMaking(false)} title={t('chatbots.make')} centered><New onDone={() => setMaking(false)} /></Modal>
    </Page>
  );
}
