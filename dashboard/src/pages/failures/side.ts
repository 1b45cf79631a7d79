// On whose side a failure lies: who has to do something about it.

export type Side = 'chatbot' | 'meta' | 'number' | 'customer' | 'message' | 'us';

const SIDES: Record<string, Side> = {
  rate_limited: 'meta', pair_limited: 'meta', meta_unavailable: 'meta', answer_lost: 'meta', refused: 'meta', account_restricted: 'meta', spam_limited: 'meta',
  token_invalid: 'number', permission_missing: 'number', number_not_ready: 'number', payment_missing: 'number', session_disconnected: 'number',
  template_invalid: 'message', bad_request: 'message', media_failed: 'message',
  window_closed: 'customer', undeliverable: 'customer', contact_blocked: 'customer', opted_out: 'customer',
  internal: 'us',
};

/** Nothing is said where nobody can know. */
export const sideOf = (reason: string | null | undefined): Side | null =>
  (reason?.startsWith('responder_') ? 'chatbot' : (SIDES[reason ?? ''] ?? null));
