// The pages' addresses. Each page is fetched when it is first wanted.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Outlet, redirect } from '@tanstack/react-router';
import { Problem, whenSignedOut } from '../api/client';
import { Broken, Missing, Waiting } from './fallbacks';
import { queries } from './queries';
import { meQuery, restoreTenant } from './session';
import { Shell } from './shell';

const root = createRootRoute({ component: Outlet, notFoundComponent: Missing });

interface Next { next?: string }
/** Only an address of our own: `//elsewhere` is none. */
const ownAddress = (value: unknown) =>
  typeof value === 'string' && /^\/(?![/\\])/.test(value) ? value : undefined;
const next = (search: Record<string, unknown>): Next => {
  const address = ownAddress(search.next);
  return address === undefined ? {} : { next: address };
};

const login = createRoute({
  getParentRoute: () => root, path: '/login', validateSearch: next,
  component: lazyRouteComponent(() => import('../pages/sign-in'), 'Login'),
});
const setup = createRoute({
  getParentRoute: () => root, path: '/setup', component: lazyRouteComponent(() => import('../pages/sign-in'), 'Setup'),
});
const invite = createRoute({
  getParentRoute: () => root, path: '/invite', component: lazyRouteComponent(() => import('../pages/sign-in'), 'Invite'),
});

const app = createRoute({
  getParentRoute: () => root,
  id: 'app',
  component: Shell,
  errorComponent: Broken,
  beforeLoad: async ({ location }) => {
    try {
      restoreTenant(await queries.ensureQueryData(meQuery));
    } catch (error) {
      if (error instanceof Problem && error.status === 401) {
        throw redirect({ to: '/login', search: location.href === '/' ? {} : { next: location.href } });
      }
      throw error;
    }
  },
});

const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
/** Keeps the named words of a query, and nothing else. */
const words = <Name extends string>(...names: Name[]) => (search: Record<string, unknown>) =>
  Object.fromEntries(names.flatMap((name) => (text(search[name]) ? [[name, search[name]]] : []))) as Partial<Record<Name, string>>;

const at = app;
const home = createRoute({ getParentRoute: () => at, path: '/', component: lazyRouteComponent(() => import('../pages/home'), 'Home') });
const conversations = createRoute({
  getParentRoute: () => at, path: '/conversations', validateSearch: words('q', 'chatbot', 'show'),
  component: lazyRouteComponent(() => import('../pages/conversations'), 'Conversations'),
});
const noThread = createRoute({
  getParentRoute: () => conversations, path: '/',
  component: lazyRouteComponent(() => import('../pages/conversations/none'), 'NoThread'),
});
const thread = createRoute({
  getParentRoute: () => conversations, path: '/$id',
  component: lazyRouteComponent(() => import('../pages/conversations/thread'), 'Thread'),
});
const failures = createRoute({
  getParentRoute: () => at, path: '/failures', validateSearch: words('show', 'reason', 'status'),
  component: lazyRouteComponent(() => import('../pages/failures'), 'Failures'),
});
const numbers = createRoute({ getParentRoute: () => at, path: '/numbers', component: lazyRouteComponent(() => import('../pages/numbers'), 'Numbers') });
const onboarding = createRoute({
  getParentRoute: () => at, path: '/numbers/new', component: lazyRouteComponent(() => import('../pages/numbers/wizard'), 'Wizard'),
});
const number = createRoute({
  getParentRoute: () => at, path: '/numbers/$id', component: lazyRouteComponent(() => import('../pages/numbers/one'), 'OneNumber'),
});
const chatbots = createRoute({ getParentRoute: () => at, path: '/chatbots', component: lazyRouteComponent(() => import('../pages/chatbots'), 'Chatbots') });
const chatbot = createRoute({
  getParentRoute: () => at, path: '/chatbots/$id', component: lazyRouteComponent(() => import('../pages/chatbots/one'), 'OneChatbot'),
});
const trace = createRoute({
  getParentRoute: () => at, path: '/trace', validateSearch: words('wamid'),
  component: lazyRouteComponent(() => import('../pages/trace'), 'Trace'),
});
const contacts = createRoute({
  getParentRoute: () => at, path: '/contacts', validateSearch: words('q'),
  component: lazyRouteComponent(() => import('../pages/contacts'), 'Contacts'),
});
const contact = createRoute({
  getParentRoute: () => at, path: '/contacts/$id', component: lazyRouteComponent(() => import('../pages/contacts/one'), 'OneContact'),
});
const connect = createRoute({
  getParentRoute: () => at, path: '/whatsapp-connect', validateSearch: words('session'),
  component: lazyRouteComponent(() => import('../pages/sessions'), 'WhatsappConnect'),
});
const pace = createRoute({
  getParentRoute: () => at, path: '/whatsapp-connect/$name/pace', component: lazyRouteComponent(() => import('../pages/sessions/pace'), 'PacePage'),
});
const alerts = createRoute({ getParentRoute: () => at, path: '/alerts', component: lazyRouteComponent(() => import('../pages/alerts/history'), 'History') });
const analytics = createRoute({
  getParentRoute: () => at, path: '/analytics', validateSearch: words('days', 'chatbot'),
  component: lazyRouteComponent(() => import('../pages/analytics'), 'Analytics'),
});
const team = createRoute({ getParentRoute: () => at, path: '/team', component: lazyRouteComponent(() => import('../pages/team'), 'Team') });
const audit = createRoute({ getParentRoute: () => at, path: '/audit', component: lazyRouteComponent(() => import('../pages/audit'), 'Audit') });
const webhooks = createRoute({ getParentRoute: () => at, path: '/webhooks', component: lazyRouteComponent(() => import('../pages/webhooks'), 'Webhooks') });
const tenants = createRoute({ getParentRoute: () => at, path: '/tenants', component: lazyRouteComponent(() => import('../pages/tenants'), 'Tenants') });
const keys = createRoute({ getParentRoute: () => at, path: '/api-keys', component: lazyRouteComponent(() => import('../pages/api-keys'), 'ApiKeys') });
const settings = createRoute({ getParentRoute: () => at, path: '/settings', component: lazyRouteComponent(() => import('../pages/settings'), 'Settings') });

export const router = createRouter({
  routeTree: root.addChildren([
    login, setup, invite,
    app.addChildren([
      home, conversations.addChildren([noThread, thread]), failures, numbers, onboarding, number, chatbots, chatbot,
      trace, contacts, contact, connect, pace, alerts, analytics, team, audit, webhooks, tenants, keys, settings,
    ]),
  ]),
  defaultPreload: 'intent',
  defaultPendingComponent: Waiting,
  defaultErrorComponent: Broken,
  defaultNotFoundComponent: Missing,
  scrollRestoration: true,
});

whenSignedOut(() => {
  const { pathname, href } = router.state.location;
  if (pathname === '/login' || pathname === '/setup' || pathname === '/invite') return;
  queries.removeQueries({ queryKey: ['me'] });
  void router.navigate({ to: '/login', search: href === '/' ? {} : { next: href } });
});

declare module '@tanstack/react-router' {
  interface Register { router: typeof router }
}
