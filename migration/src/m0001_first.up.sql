-- Times are Unix milliseconds (bigint). Identity columns give the order of things; UUIDs never do.

-- ── who ─────────────────────────────────────────────────────────────────────────────────────────────
create table tenants (
    id text primary key,
    name text not null,
    waha_session_name varchar(100),
    created_at bigint not null,
    constraint uix_tenant_waha_session unique (waha_session_name)
);

create table tenant_external_ids (
    kind text not null,
    value text not null,
    tenant_id text not null references tenants (id),
    primary key (kind, value)
);

-- People who may sign in. Without a tenant: the platform's own, who may choose one. The link is what an invitation
-- hands out; it dies when it is used.
create table users (
    id :uuid primary key,
    tenant_id text references tenants (id),
    email text not null unique,
    name text not null,
    password_hash text,
    role varchar(16) not null check (role in ('owner', 'admin', 'agent', 'viewer')),
    link_hash text unique,
    link_expires_at bigint,
    created_at bigint not null
);

create table sign_ins (
    token_hash text primary key,
    user_id :uuid not null references users (id),
    created_at bigint not null,
    seen_at bigint not null,    -- to the minute
    expires_at bigint not null
);
create index sign_ins_user on sign_ins (user_id);

-- A platform key has no tenant of its own: it may name one in the header Switchboard-Tenant.
create table api_keys (
    id varchar(16) primary key,
    tenant_id text references tenants (id),
    name text not null,
    role varchar(16) not null check (role in ('owner', 'admin', 'agent', 'viewer')),
    secret_hash text not null,
    created_at bigint not null,
    last_used_at bigint,
    revoked_at bigint
);

create table audit_log (
    id :identity,
    tenant_id text,
    at bigint not null,
    actor text not null,
    address text,
    action text not null,
    target text not null,
    detail text
);
create index audit_log_tenant on audit_log (tenant_id, id);

-- ── what answers, and through which number ──────────────────────────────────────────────────────────
create table chatbots (
    id text primary key,
    tenant_id text not null references tenants (id),
    name text not null,
    api_key text,            -- sealed
    responder text not null, -- JSON: kind, baseUrl, path, originUrl, model, systemPrompt, timeoutMs
    coalesce_ms bigint not null,
    coalesce_max_ms bigint not null,
    history_limit bigint not null,
    fallback_text text,
    typing boolean not null,
    media_links boolean not null,
    paused boolean not null,
    hand_off_words boolean not null, -- "human", "agente", … bring a person
    created_at bigint not null,
    updated_at bigint not null,
    deleted_at bigint
);
create index chatbots_tenant on chatbots (tenant_id);

-- A number belongs to the tenant for whom Graph first confirmed it. The last columns are what Meta told since.
create table numbers (
    phone_number_id varchar(32) primary key,
    tenant_id text not null references tenants (id),
    business_account_id varchar(64) not null,
    display_phone_number text,
    confirmed_at bigint not null,
    quality text,        -- Meta's last word: FLAGGED, UNFLAGGED
    verified_name text,
    name_status text,    -- APPROVED, DECLINED, DEFERRED, …
    messaging_limit text, -- TIER_250, TIER_2K, …
    told_at bigint
);

create table whatsapp_accounts (
    id :identity,
    tenant_id text not null references tenants (id),
    transport varchar(16) not null check (transport in ('cloud', 'session')),
    chatbot_id text not null references chatbots (id),
    phone_number_id varchar(32) not null,
    business_account_id varchar(64) not null,
    display_phone_number text,
    webhook_url text,
    verify_token_hash text not null,
    verify_token text not null,        -- sealed
    access_token text not null,        -- sealed
    app_secret text,                   -- sealed
    previous_app_secret text,          -- sealed
    mode varchar(16) not null check (mode in ('all', 'primary', 'shadow')),
    status varchar(16) not null check (status in ('active', 'pending', 'inactive', 'token_invalid', 'restricted')),
    status_reason text,
    verified_at bigint,
    checks text,                       -- JSON: the last per-check report
    checked_at bigint,
    created_at bigint not null,
    updated_at bigint not null,
    deleted_at bigint,
    unique (chatbot_id, phone_number_id)
);
create index whatsapp_accounts_number on whatsapp_accounts (phone_number_id, status);
create index whatsapp_accounts_business on whatsapp_accounts (business_account_id);
create index whatsapp_accounts_tenant on whatsapp_accounts (tenant_id);
create unique index whatsapp_accounts_verify_token on whatsapp_accounts (verify_token_hash) where deleted_at is null;

-- What Meta tells about the templates of a WABA.
create table templates (
    tenant_id text not null references tenants (id),
    business_account_id text not null,
    name text not null,
    language text not null,
    template_id text,
    status text,
    category text,
    quality text,
    reason text,
    last_event text not null,
    told_at bigint not null,
    primary key (tenant_id, business_account_id, name, language)
);

-- What Meta tells about a WABA or a number and people should know: one row per event and tenant.
create table account_events (
    id :identity,
    tenant_id text not null references tenants (id),
    business_account_id text not null,
    field text not null,
    event text not null,
    severity varchar(16) not null check (severity in ('info', 'warning', 'critical')),
    detail text,
    action text, -- what it changed here: inactive, restricted, pending
    event_id bigint not null,
    at bigint not null,
    unique (tenant_id, event_id)
);
create index account_events_tenant on account_events (tenant_id, id);

-- ── with whom ───────────────────────────────────────────────────────────────────────────────────────
-- scope: the WABA (or session) inside which the aliases mean this person.
create table contacts (
    id :identity,
    tenant_id text not null references tenants (id),
    scope varchar(80) not null,
    name text,
    marketing varchar(8) check (marketing in ('stop', 'resume')), -- the customer's last word on marketing messages
    marketing_at bigint,
    created_at bigint not null,
    erased_at bigint, -- its names are gone, and what was said; only counted since
    erasing text -- JSON: what its last traces are known by, until they are gone
);
create index contacts_tenant on contacts (tenant_id, id);
create index contacts_erasing on contacts (id) where erasing is not null;

create table contact_aliases (
    tenant_id text not null,
    scope varchar(80) not null,
    kind varchar(16) not null check (kind in ('wa_id', 'bsuid', 'parent_bsuid', 'lid', 'phone')),
    value text not null,
    contact_id bigint not null references contacts (id),
    created_at bigint not null,
    primary key (tenant_id, scope, kind, value)
);
create index contact_aliases_contact on contact_aliases (contact_id);

-- Who went by another name before. A row may come before anybody under the former name was ever seen.
create table contact_renames (
    tenant_id text not null,
    scope varchar(80) not null,
    kind varchar(16) not null check (kind in ('wa_id', 'bsuid', 'parent_bsuid')),
    previous varchar(160) not null,
    current varchar(160) not null,
    at bigint not null, -- by Meta's clock: a phone number means somebody else afterwards
    primary key (tenant_id, scope, kind, previous, at)
);

-- contact × number: hand-over, opt-out and pacing live here, so that two chatbots on one number agree.
create table threads (
    id :identity,
    tenant_id text not null references tenants (id),
    contact_id bigint not null references contacts (id),
    phone_number_id varchar(64) not null,
    hand_over_until bigint,
    hand_over_reason text, -- person, responder, asked_for_person, control_taken
    handed_over_at bigint, -- by Meta's clock, as the next four: what comes late must not undo what came after it
    handed_back_at bigint, -- by a person
    passed_at bigint,      -- by Meta's routing
    opted_out_at bigint,
    opted_in_at bigint,
    created_at bigint not null,
    unique (contact_id, phone_number_id)
);

-- thread × account. owner: the instance that runs its turns and its outbox; see instances.
create table whatsapp_conversations (
    id :identity,
    tenant_id text not null references tenants (id),
    thread_id bigint not null references threads (id),
    contact_id bigint not null references contacts (id),
    whatsapp_account_id bigint not null references whatsapp_accounts (id),
    chatbot_id text not null,
    phone_number_id varchar(64) not null,
    unique_conv_id text not null,
    recipient text not null, -- JSON: where replies go
    owner bigint,
    created_at bigint not null,
    last_message_at bigint not null,
    erased_at bigint, -- with its contact; only counted since
    unique (thread_id, whatsapp_account_id),
    unique (chatbot_id, unique_conv_id)
);
create index whatsapp_conversations_recent on whatsapp_conversations (tenant_id, last_message_at, id);
create index whatsapp_conversations_account on whatsapp_conversations (whatsapp_account_id);
create index whatsapp_conversations_contact on whatsapp_conversations (contact_id);

-- ── station 1: inbox ────────────────────────────────────────────────────────────────────────────────
-- One row per change of a webhook body, never updated. digest = SHA-256 over the secret that verified it and its
-- bytes, so that a forged copy cannot suppress the genuine one; it begins with the time the change speaks of, so that
-- new ones stand together at the index's end.
create table webhook_events (
    id :identity,
    digest :bytes not null unique,
    entry_id varchar(80) not null,
    field varchar(80) not null,
    phone_number_id varchar(64),
    verified_by text not null,
    by_platform boolean not null,
    raw :bytes not null,
    received_at bigint not null
);

-- Only events that are not plainly done have a row here.
create table event_states (
    event_id bigint primary key,
    state varchar(16) not null
        check (state in ('received', 'quarantined', 'unroutable', 'parked', 'refused', 'ignored')),
    reason text,
    tenant_id text,
    phone_number_id varchar(64),
    lane bigint, -- hash of the one sender in it; null: no order to keep
    owner bigint,
    attempts bigint not null default 0,
    at bigint not null
);
create index event_states_open on event_states (event_id) where state = 'received';
create index event_states_number on event_states (phone_number_id) where state = 'parked';
create index event_states_tenant on event_states (tenant_id, event_id) where tenant_id is not null;

-- ── station 2: conversation ─────────────────────────────────────────────────────────────────────────
create table messages (
    id :identity,
    tenant_id text not null,
    whatsapp_account_id bigint not null,
    conversation_id bigint not null,
    chatbot_id text not null,
    channel varchar(16) not null default 'WHATSAPP',
    direction varchar(8) not null check (direction in ('in', 'out')),
    author varchar(16) not null check (author in ('contact', 'chatbot', 'fallback', 'person', 'api')),
    wamid text,
    kind text not null,
    text text not null,
    note text,           -- why it was not answered, if it was not
    turn_id :uuid,       -- an answer's turn
    event_id bigint,     -- what brought it
    sent_at bigint not null,
    created_at bigint not null,
    unique (whatsapp_account_id, wamid)
);
create index messages_conversation on messages (conversation_id, id);

-- Messages that wait for a turn. A row leaves when its turn is opened.
create table pending_messages (
    message_id bigint primary key,
    conversation_id bigint not null,
    at bigint not null
);
create index pending_messages_conversation on pending_messages (conversation_id);

-- Frozen before the responder is asked, so that a repeated call is the same call.
create table turns (
    id :uuid primary key,
    tenant_id text not null,
    conversation_id bigint not null,
    chatbot_id text not null,
    members text not null, -- JSON: message ids, oldest first
    status varchar(16) not null check (status in ('asking', 'answered', 'dead', 'dropped')),
    attempts bigint not null default 0,
    reason text,
    created_at bigint not null,
    answered_at bigint,
    closed_at bigint
);
create index turns_conversation on turns (conversation_id, created_at);
create index turns_open on turns (conversation_id) where status = 'asking';
create index turns_dead on turns (tenant_id, created_at) where status = 'dead';

-- Files: what came with messages, fetched after them; and what callers uploaded (no message), to be sent.
create table media (
    id :identity,
    tenant_id text not null,
    whatsapp_account_id bigint,
    phone_number_id varchar(64),
    message_id bigint,
    graph_id text,       -- Meta's, of what came with a message
    status varchar(16) not null check (status in ('waiting', 'arriving', 'stored', 'failed')), -- arriving: being uploaded
    reason text,
    attempts bigint not null default 0,
    next_at bigint not null, -- whoever fetches it moves this on, so that nobody else does
    created_at bigint not null,
    mime_type text not null,
    filename text,
    sha256 text,         -- as Meta told it; hex once stored
    size bigint
);
create index media_uploaded on media (tenant_id) where message_id is null;
create index media_waiting on media (next_at) where status = 'waiting';
create index media_message on media (message_id);

-- The bytes of a file, in pieces: no process has a whole one in memory.
create table media_pieces (
    media_id bigint not null references media (id) on delete cascade,
    piece bigint not null,
    content :bytes not null,
    primary key (media_id, piece)
);

-- Under which ID Meta knows a file of ours, for messages of this number.
create table media_uploads (
    media_id bigint not null,
    phone_number_id varchar(64) not null,
    graph_id text not null,
    expires_at bigint not null,
    primary key (media_id, phone_number_id)
);

-- What must not be answered again although its message row is gone (deleted account, erased contact): 30 days.
create table dedupe_marks (
    whatsapp_account_id bigint not null,
    wamid text not null,
    at bigint not null,
    primary key (whatsapp_account_id, wamid)
);
create index dedupe_marks_at on dedupe_marks (at);

-- ── station 3: outbox ───────────────────────────────────────────────────────────────────────────────
create table deliveries (
    id :identity,
    tenant_id text not null,
    whatsapp_account_id bigint not null,
    conversation_id bigint not null,
    message_id bigint not null,
    turn_id :uuid,
    part bigint not null,
    parts bigint not null,
    recipient text not null,
    text text not null,    -- what people read
    content text,          -- JSON: Meta's message object; null: a text message of just these words
    status varchar(16) not null check (status in
        ('queued', 'sending', 'sent', 'delivered', 'read', 'played', 'failed', 'unknown', 'cancelled', 'dead')),
    reason text,
    code bigint,
    detail text,
    wamid text,
    attempts bigint not null default 0,
    next_at bigint not null,
    created_at bigint not null,
    sent_at bigint,
    delivered_at bigint,
    read_at bigint,
    played_at bigint,
    failed_at bigint,
    price_category varchar(40),
    price_type varchar(40),
    billable boolean,
    told varchar(16) -- the last status that the tenant's own systems were told of
);
create index deliveries_open on deliveries (conversation_id, id) where status in ('queued', 'sending');
create index deliveries_tenant on deliveries (tenant_id, status, id);
create index deliveries_message on deliveries (message_id);
create index deliveries_lost on deliveries (created_at) where status in ('unknown', 'dead');

create table attempts (
    id :uuid primary key,
    delivery_id bigint not null,
    started_at bigint not null,
    finished_at bigint,
    outcome varchar(16), -- accepted, refused, not_sent, unknown
    code bigint,
    detail text,
    wamid text,
    priced boolean -- whether its price was counted
);
create index attempts_delivery on attempts (delivery_id);
create index attempts_wamid on attempts (wamid) where wamid is not null;

-- Statuses that came before our own send was recorded; matched when it is.
create table early_statuses (
    id :identity,
    whatsapp_account_id bigint not null,
    wamid text not null,
    status text not null, -- JSON: all of it
    stored_at bigint not null
);
create index early_statuses_wamid on early_statuses (wamid);
create index early_statuses_stored on early_statuses (stored_at);

-- Of a message to a group, how it fares with each of its people.
create table delivery_participants (
    delivery_id bigint not null,
    participant varchar(160) not null,
    status varchar(16) not null,
    rank bigint not null,
    at bigint not null,
    primary key (delivery_id, participant)
);

-- Messages that Meta priced, by day (UTC, of the status that told it).
create table usage_days (
    tenant_id text not null,
    day varchar(10) not null,
    chatbot_id text not null,
    category varchar(40) not null,
    type varchar(40) not null,
    billable boolean not null,
    messages bigint not null,
    primary key (tenant_id, day, chatbot_id, category, type, billable)
);

-- ── what other systems are told ─────────────────────────────────────────────────────────────────────
-- Where a tenant's own systems hear of what happens; api and docs call them event endpoints.
create table event_endpoints (
    id :uuid primary key,
    tenant_id text not null references tenants (id),
    url text not null,
    types text not null,      -- JSON: names of event types; an empty list means all
    secret text not null,     -- sealed
    previous_secret text,     -- sealed; signs as well until previous_until
    previous_until bigint,
    failing_since bigint,     -- the first failure since the last success
    disabled_at bigint,
    disabled_reason varchar(16),
    created_at bigint not null,
    updated_at bigint not null
);
create index event_endpoints_tenant on event_endpoints (tenant_id, id);

-- One event for one endpoint. Its id is what the receiver deduplicates by.
create table event_deliveries (
    id :uuid primary key,
    endpoint_id :uuid not null,
    tenant_id text not null,
    conversation_id bigint, -- whose words the payload may hold
    type varchar(32) not null,
    payload text not null,
    status varchar(16) not null check (status in ('queued', 'delivered', 'dead')),
    attempts bigint not null default 0,
    next_at bigint not null,
    response_status bigint,
    reason text,
    created_at bigint not null,
    finished_at bigint
);
create index event_deliveries_due on event_deliveries (endpoint_id, next_at) where status = 'queued';
create index event_deliveries_tenant on event_deliveries (tenant_id, id);
create index event_deliveries_conversation on event_deliveries (conversation_id);

-- What people have to know. kind and subject together are said once in a slot of fifteen minutes.
create table alerts (
    id :identity,
    kind varchar(32) not null,
    subject text not null,
    slot bigint not null,
    tenant_id text,
    account_id bigint,
    text text not null,
    at bigint not null,
    tries bigint not null default 0,
    next_at bigint not null,
    posted_at bigint,
    ended_at bigint,          -- what it tells of is over since then
    unique (kind, subject, slot)
);
-- ── sessions: numbers linked by QR code ─────────────────────────────────────────────────────────────
-- Its number routes as ses_<id>; its account stands in whatsapp_accounts. owner: the instance that watches it and sends
-- through it. epoch grows with every command, so that what was seen before one is not written after it.
create table whatsapp_sessions (
    id :identity,
    tenant_id text not null references tenants (id),
    name varchar(64) not null,
    engine varchar(16) not null check (engine in ('waha', 'sandbox', 'native')),
    chatbot_id text references chatbots (id), -- null: nobody answers
    is_default boolean not null,
    wanted varchar(16) not null check (wanted in ('running', 'stopped')),
    state varchar(16) not null check (state in
        ('pairing', 'connecting', 'connected', 'disconnected', 'logged_out', 'expired', 'failed')),
    reason varchar(40) not null,
    detail text,              -- the engine's own words
    state_at bigint not null,
    paired boolean not null,  -- the engine holds keys that a phone confirmed
    phone varchar(32),        -- digits
    push_name text,
    webhook_key text,         -- sealed; signs the engine's webhooks
    qr text,                  -- sealed: whoever sees it may become the owner
    qr_version bigint not null default 0,
    qr_at bigint,
    qr_expires_at bigint,
    qr_link_until bigint not null default 0, -- the picture may be fetched by its link alone
    reconnects bigint not null default 0,
    retry_at bigint not null default 0,
    pace text not null,       -- JSON: how fast messages that the business starts may leave
    next_send_at bigint not null default 0,
    first_connected_at bigint,
    paired_at bigint,
    connected_at bigint,
    disconnected_at bigint,
    epoch bigint not null default 0,
    owner bigint,
    keys_generation bigint not null default 0, -- of the newest batch of keys; a wipe is one, too
    created_at bigint not null,
    updated_at bigint not null,
    deleted_at bigint
);
create unique index whatsapp_sessions_name on whatsapp_sessions (name) where deleted_at is null;
create unique index whatsapp_sessions_default on whatsapp_sessions (tenant_id) where is_default and deleted_at is null;
create index whatsapp_sessions_tenant on whatsapp_sessions (tenant_id, id);

-- The keys of sessions that Switchboard runs itself: whoever has them is the linked device.
create table session_keys (
    id :identity,
    tenant_id text not null references tenants (id),
    session_id bigint not null references whatsapp_sessions (id),
    kind varchar(32) not null,
    k1 text not null,
    k2 text not null,
    value text not null,      -- sealed
    generation bigint not null -- of the batch that wrote it
);
create unique index session_keys_place on session_keys (session_id, kind, k1, k2);

-- What the business started through a session, for its caps: two days.
create table session_sends (
    delivery_id bigint primary key,
    session_id bigint not null,
    at bigint not null,
    new_contact boolean not null
);
create index session_sends_recent on session_sends (session_id, at);

-- ── asking twice ────────────────────────────────────────────────────────────────────────────────────
-- What requests with an Idempotency-Key were answered, for a day. No status: being answered.
create table idempotency_keys (
    id :identity,
    tenant_id text not null,
    actor text not null, -- the credential
    key varchar(255) not null,
    digest text not null, -- of the request
    status bigint,
    answer text, -- sealed
    at bigint not null,
    unique (tenant_id, actor, key)
);

-- ── running it ──────────────────────────────────────────────────────────────────────────────────────
-- A live instance renews expires_at (the database's clock). What a dead one owned is free to be claimed.
create table instances (
    id :identity,
    name text not null,
    expires_at bigint not null
);
