// The people who wrote, found by name or phone.
import { Box, Button, CloseButton, Group, Text, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { IconAddressBook, IconSearch } from '@tabler/icons-react';
import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../../api/client';
import { useSpeech } from '../../i18n';
import { Ago, Page, Phone } from '../../ui/common';
import { ErrorNote } from '../../ui/error-note';
import { Bones, Empty } from '../../ui/states';

export function Contacts() {
  const { t } = useSpeech();
  const { q } = useSearch({ from: '/app/contacts' });
  const navigate = useNavigate();
  const [typed, setTyped] = useState(q ?? '');
  const query = useInfiniteQuery({
    queryKey: ['contacts', q ?? ''], initialPageParam: '',
    placeholderData: keepPreviousData,
    queryFn: ({ pageParam, signal }) => api('get', '/api/v1/contacts', { query: { q: q ?? '', cursor: pageParam, limit: 50 }, signal }),
    getNextPageParam: (page) => page.nextCursor,
  });
  const look = useDebouncedCallback((q: string) => void navigate({ to: '/contacts', search: q ? { q } : {}, replace: true }), 250);
  const rows = query.data?.pages.flatMap((page) => page.data) ?? [];
  return (
    <Page title={t('nav.contacts')} text={t('contacts.text')}>
      <TextInput
        type="search" maw={420} mb="md" aria-label={t('contacts.search')} placeholder={t('contacts.search')} leftSection={<IconSearch size={16} />} value={typed}
        onChange={(e) => { setTyped(e.currentTarget.value); look(e.currentTarget.value.trim()); }}
        rightSection={typed !== '' ? <CloseButton size="sm" aria-label={t('action.clear')} onClick={() => { setTyped(''); look(''); }} /> : undefined}
      />
      {query.isPending && <Bones rows={6} />}
      {query.isError && rows.length === 0 && <ErrorNote error={query.error} onRetry={() => void query.refetch()} />}
      {query.isSuccess && rows.length === 0 && <Empty icon={<IconAddressBook size={40} stroke={1.2} />} title={q ? t('inbox.nothing') : t('contacts.none')} text={q ? t('inbox.nothingText') : t('inbox.emptyText')} />}
      {rows.length > 0 && (
        <Box className="panel rows">
          {rows.map((contact) => (
            <Link key={contact.id} to="/contacts/$id" params={{ id: contact.id }} className="row-link">
              <Group justify="space-between" gap="sm">
                <Box miw={0}>
                  <Text fw={600} size="sm" className="break"><bdi>{contact.name ?? (contact.phone ? `+${contact.phone}` : t('contact.nameless'))}</bdi></Text>
                  {contact.name && contact.phone && <Text size="xs" c="dimmed"><Phone of={contact.phone} /></Text>}
                </Box>
                {contact.lastMessageAt && <Text size="xs" c="dimmed"><Ago at={contact.lastMessageAt} /></Text>}
              </Group>
            </Link>
          ))}
        </Box>
      )}
      {query.hasNextPage && <Button variant="subtle" fullWidth mt="sm" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t('action.more')}</Button>}
    </Page>
  );
}
