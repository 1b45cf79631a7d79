// The frame around every page: where one can go, who one is, and whether the line is up.
import { ActionIcon, Anchor, AppShell, Badge, Box, Burger, Group, Menu, NavLink, ScrollArea, Select, Text, UnstyledButton, useMantineColorScheme } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import {
  IconAddressBook, IconAlertTriangle, IconBell, IconBuilding, IconChartBar, IconDeviceMobile, IconHistory, IconHome, IconKey, IconLanguage,
  IconLogout, IconMessages, IconMoon, IconPhone, IconQrcode, IconRobot, IconRoute, IconSettings, IconSun, IconUser, IconUsers,
  IconWebhook,
} from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useMatchRoute, useNavigate } from '@tanstack/react-router';
import { Suspense, useState } from 'react';
import { api } from '../api/client';
import { useIsDown } from '../api/line';
import { useLive } from '../api/live';
import { LANGUAGES, useSpeech, type Key, type Language } from '../i18n';
import { Waiting } from './fallbacks';
import { openFailures } from './attention';
import { RetryProvider } from '../pages/failures/retry';
import { chooseTenant, chosenTenant, useMay, useMe } from './session';

type Icon = typeof IconHome;
interface Place { to: string; word: Key; icon: Icon; needs?: 'admin' | 'platform' }

const PLACES: (Place | null)[] = [
  { to: '/', word: 'nav.home', icon: IconHome },
  { to: '/conversations', word: 'nav.conversations', icon: IconMessages },
  { to: '/failures', word: 'nav.failures', icon: IconAlertTriangle },
  { to: '/alerts', word: 'nav.alerts', icon: IconBell },
  { to: '/contacts', word: 'nav.contacts', icon: IconAddressBook },
  { to: '/analytics', word: 'nav.analytics', icon: IconChartBar },
  { to: '/trace', word: 'nav.trace', icon: IconRoute },
  null,
  { to: '/numbers', word: 'nav.numbers', icon: IconPhone },
  { to: '/whatsapp-connect', word: 'nav.connect', icon: IconQrcode },
  { to: '/chatbots', word: 'nav.chatbots', icon: IconRobot },
  null,
  { to: '/tenants', word: 'nav.tenants', icon: IconBuilding, needs: 'platform' },
  { to: '/team', word: 'nav.team', icon: IconUsers, needs: 'admin' },
  { to: '/api-keys', word: 'nav.apiKeys', icon: IconKey, needs: 'admin' },
  { to: '/webhooks', word: 'nav.webhooks', icon: IconWebhook, needs: 'admin' },
  { to: '/audit', word: 'nav.audit', icon: IconHistory, needs: 'admin' },
  { to: '/settings', word: 'nav.settings', icon: IconSettings },
];

function Navigation({ onGo }: { onGo: () => void }) {
  const { t } = useSpeech();
  const isAt = useMatchRoute();
  const failures = useQuery(openFailures).data ?? 0;
  const may = { admin: useMay('admin'), platform: useMe().platform };
  const sandbox = useQuery({
    queryKey: ['sandbox'], staleTime: Infinity, retry: false,
    queryFn: async () => (await fetch('/sandbox/api/numbers')).ok,
  }).data;
  return (
    <>
      {PLACES.map((place, n) => {
        if (place === null) return <Box key={`line-${n}`} h={1} bg="var(--line)" my="xs" mx="sm" />;
        if (place.needs && !may[place.needs]) return null;
        const active = Boolean(isAt({ to: place.to, fuzzy: place.to !== '/' }));
        return (
          <NavLink
            key={place.to} component={Link} to={place.to} label={t(place.word)} active={active} onClick={onGo}
            leftSection={<place.icon size={18} stroke={1.7} aria-hidden />} className="place"
            aria-current={active ? 'page' : undefined}
            rightSection={place.to === '/failures' && failures > 0
              ? <Badge size="sm" color="red" variant="filled" aria-label={t('nav.failuresOpen', { count: failures })}>{failures > 99 ? '99+' : failures}</Badge>
              : undefined}
          />
        );
      })}
      {sandbox === true && (
        <NavLink
          component="a" href="/sandbox" target="_blank" rel="noreferrer" label={t('nav.sandbox')} className="place"
          leftSection={<IconDeviceMobile size={18} stroke={1.7} aria-hidden />}
        />
      )}
    </>
  );
}

function TenantChoice() {
  const { t } = useSpeech();
  const me = useMe();
  const client = useQueryClient();
  const navigate = useNavigate();
  const [chosen, setChosen] = useState(chosenTenant);
  const choose = (id: string | null) => {
    chooseTenant(id);
    setChosen(id);
    // Nothing of the tenant before may be seen under the new one's name.
    client.removeQueries({ predicate: ({ queryKey }) => !['me', 'sandbox'].includes(String(queryKey[0])) });
    void navigate({ to: '/' });
  };
  if (!me.platform || me.tenants.length < 2) return null;
  return (
    <Select
      aria-label={t('tenant.choose')} size="xs" w={{ base: 150, xs: 190 }} searchable allowDeselect={false} checkIconPosition="right"
      data={me.tenants.map((tenant) => ({ value: tenant.id, label: tenant.name }))} value={chosen} onChange={choose}
    />
  );
}

function MyMenu() {
  const { t, language, setLanguage } = useSpeech();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const me = useMe();
  const client = useQueryClient();
  const navigate = useNavigate();
  const signOut = async () => {
    await api('post', '/api/v1/sign-out', { body: {} }).catch(() => {});
    client.clear();
    await navigate({ to: '/login' });
  };
  const schemes = { light: t('look.light'), dark: t('look.dark'), auto: t('look.auto') };
  return (
    <Menu position="bottom-end" width={230} shadow="md">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t('me.menu')}><IconUser size={20} /></ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          <Text size="sm" truncate>{me.name || me.email}</Text>
          <Text size="xs" c="dimmed">{t(`role.${me.role}`)}</Text>
        </Menu.Label>
        <Menu.Divider />
        <Menu.Label>{t('me.language')}</Menu.Label>
        {(Object.keys(LANGUAGES) as Language[]).map((tag) => (
          <Menu.Item key={tag} lang={tag} leftSection={<IconLanguage size={16} />} onClick={() => setLanguage(tag)} fw={tag === language ? 600 : 400}>
            {LANGUAGES[tag]}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Label>{t('me.look')}</Menu.Label>
        {(['light', 'dark', 'auto'] as const).map((scheme) => (
          <Menu.Item key={scheme} leftSection={scheme === 'dark' ? <IconMoon size={16} /> : <IconSun size={16} />} onClick={() => setColorScheme(scheme)} fw={scheme === colorScheme ? 600 : 400}>
            {schemes[scheme]}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item leftSection={<IconLogout size={16} className="flip" />} onClick={() => void signOut()}>{t('me.signOut')}</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function LineNote() {
  const { t } = useSpeech();
  const down = useIsDown();
  return (
    <div role="status" aria-live="polite">
      {down && <div className="line-down">{t('line.down')}</div>}
    </div>
  );
}

export function Shell() {
  const { t } = useSpeech();
  const [open, { toggle, close }] = useDisclosure(false);
  useLive();
  return (
    <AppShell header={{ height: 52 }} navbar={{ width: 216, breakpoint: 'sm', collapsed: { mobile: !open } }} padding={0}>
      <a href="#main" className="skip">{t('nav.skip')}</a>
      <AppShell.Header className="head">
        <Group h="100%" px="md" gap="sm" wrap="nowrap">
          <Burger opened={open} onClick={toggle} hiddenFrom="sm" size="sm" aria-label={t('nav.menu')} aria-expanded={open} />
          <UnstyledButton component={Link} to="/" className="brand" aria-label="Switchboard">
            <span aria-hidden className="mark" /> <b>Switchboard</b>
          </UnstyledButton>
          <Box flex={1} />
          <TenantChoice />
          <MyMenu />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" component="nav" aria-label={t('nav.menu')} className="side">
        <ScrollArea flex={1} type="auto"><Navigation onGo={close} /></ScrollArea>
        <Text size="xs" c="dimmed" px="sm" py={6}>
          <Anchor href="/docs" c="dimmed" size="xs" target="_blank" rel="noreferrer">{t('nav.docs')}</Anchor>
        </Text>
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1} className="main">
        <LineNote />
        <RetryProvider><Suspense fallback={<Waiting />}><Outlet /></Suspense></RetryProvider>
      </AppShell.Main>
    </AppShell>
  );
}
