// Who is signed in, and for which tenant they look.
import { queryOptions, useSuspenseQuery } from '@tanstack/react-query';
import { actFor, api } from '../api/client';
import type { Me } from '../api/types';

export const meQuery = queryOptions({
  queryKey: ['me'],
  queryFn: async ({ signal }) => (await api('get', '/api/v1/me', { signal })).data as Me,
  staleTime: 60_000,
});

/** Who is signed in; only below the shell, which has asked already. */
export const useMe = () => useSuspenseQuery(meQuery).data;

const RANKS = ['viewer', 'agent', 'admin', 'owner'];
/** Whether somebody of this role may do what takes at least `needed`. */
export const atLeast = (role: string, needed: 'viewer' | 'agent' | 'admin' | 'owner') =>
  RANKS.indexOf(role) >= RANKS.indexOf(needed);
export const useMay = (needed: 'agent' | 'admin' | 'owner') => atLeast(useMe().role, needed);

const CHOSEN = 'switchboard-tenant';
export const chosenTenant = () => localStorage.getItem(CHOSEN);

/** From now on everything is this tenant's; for the platform's people alone. */
export function chooseTenant(id: string | null) {
  if (id === null) localStorage.removeItem(CHOSEN);
  else localStorage.setItem(CHOSEN, id);
  actFor(id);
}

/** Looks again for the tenant chosen last time, or for the first that is one; people of a tenant have no choice. */
export function restoreTenant(me: Me) {
  if (!me.platform) return actFor(null);
  const chosen = me.tenants.find((tenant) => tenant.id === chosenTenant());
  const first = chosen ?? me.tenants.find((tenant) => tenant.id !== 'default') ?? me.tenants[0];
  chooseTenant(first?.id ?? null);
}
