"""One-time tokens, flows, factors, passkeys, single sign-on, the OAuth server and the audit log of auth.

Revision ID: 0005
Revises: 0004

Names of tables, columns and types are those that Supabase projects have, as far
as they have them. Differences that a policy or a join cannot see: times are
always with zone, every reference to a user is a foreign key, and what opens
something (tokens, codes, client secrets) is stored as a hash.
"""

from __future__ import annotations

from alembic import op

from monohull.kernel.database.sql_text import split

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = (
    "custom_oauth_providers",
    "audit_log_entries",
    "oauth_consents",
    "oauth_authorizations",
    "saml_assertions",
    "saml_relay_states",
    "saml_providers",
    "sso_domains",
    "sso_providers",
    "webauthn_challenges",
    "webauthn_credentials",
    "mfa_recovery_codes",
    "mfa_challenges",
    "mfa_factors",
    "flow_state",
    "oauth_client_states",
    "one_time_tokens",
)
"""In the order in which they can be dropped; ``oauth_clients`` goes last, sessions refer to it."""

TYPES = (
    "oauth_authorization_status",
    "oauth_response_type",
    "oauth_client_type",
    "oauth_registration_type",
    "factor_status",
    "factor_type",
    "code_challenge_method",
    "one_time_token_type",
)

ONE_TIME_TOKENS = """
create type auth.one_time_token_type as enum (
    'confirmation_token', 'reauthentication_token', 'recovery_token',
    'email_change_token_new', 'email_change_token_current', 'phone_change_token'
);
create table auth.one_time_tokens (
    id uuid not null default gen_random_uuid() constraint pk_one_time_tokens primary key,
    user_id uuid not null
        constraint fk_one_time_tokens_user_id references auth.users (id) on delete cascade,
    token_type auth.one_time_token_type not null,
    token_hash text not null constraint ck_one_time_tokens_token_hash check (token_hash <> ''),
    relates_to text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint one_time_tokens_user_id_token_type_key unique (user_id, token_type)
);
create index one_time_tokens_token_hash_idx on auth.one_time_tokens (token_hash);
create index one_time_tokens_relates_to_idx on auth.one_time_tokens (relates_to);
create index ix_one_time_tokens_created_at on auth.one_time_tokens (created_at);
comment on table auth.one_time_tokens is 'What was sent to somebody to prove an address; each works once.';
comment on column auth.one_time_tokens.token_hash is 'SHA-256 of the token in the link.';
"""

FLOW_STATE = """
create type auth.code_challenge_method as enum ('s256', 'plain');
create table auth.oauth_client_states (
    id uuid not null default gen_random_uuid() constraint pk_oauth_client_states primary key,
    provider_type text not null,
    code_verifier text,
    nonce text,
    created_at timestamptz not null default now()
);
create index ix_oauth_client_states_created_at on auth.oauth_client_states (created_at);
comment on table auth.oauth_client_states is 'What we have to remember of a visit to a provider.';
create table auth.flow_state (
    id uuid not null default gen_random_uuid() constraint pk_flow_state primary key,
    user_id uuid constraint fk_flow_state_user_id references auth.users (id) on delete cascade,
    auth_code text,
    code_challenge_method auth.code_challenge_method,
    code_challenge text,
    provider_type text not null,
    provider_access_token text,
    provider_refresh_token text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    authentication_method text not null,
    auth_code_issued_at timestamptz,
    invite_token text,
    referrer text,
    oauth_client_state_id uuid constraint fk_flow_state_oauth_client_state_id
        references auth.oauth_client_states (id) on delete cascade,
    linking_target_id uuid constraint fk_flow_state_linking_target_id
        references auth.users (id) on delete cascade,
    email_optional boolean not null default false
);
create unique index ix_flow_state_auth_code on auth.flow_state (auth_code);
create index ix_flow_state_user_id on auth.flow_state (user_id, authentication_method);
create index ix_flow_state_oauth_client_state_id on auth.flow_state (oauth_client_state_id);
create index ix_flow_state_linking_target_id on auth.flow_state (linking_target_id);
create index ix_flow_state_created_at on auth.flow_state (created_at);
comment on table auth.flow_state is 'Sign-ins under way: by code (PKCE), or at a provider.';
comment on column auth.flow_state.auth_code is 'SHA-256 of the code; the code itself is nowhere.';
"""

FACTORS = """
create type auth.factor_type as enum ('totp', 'webauthn', 'phone');
create type auth.factor_status as enum ('unverified', 'verified');
create table auth.mfa_factors (
    id uuid not null default gen_random_uuid() constraint pk_mfa_factors primary key,
    user_id uuid not null constraint fk_mfa_factors_user_id references auth.users (id) on delete cascade,
    friendly_name text,
    factor_type auth.factor_type not null,
    status auth.factor_status not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    secret text,
    phone text,
    last_challenged_at timestamptz,
    web_authn_credential jsonb,
    web_authn_aaguid uuid,
    last_webauthn_challenge_data jsonb,
    last_used_step bigint
);
create index ix_mfa_factors_user_id on auth.mfa_factors (user_id, created_at);
create unique index mfa_factors_user_friendly_name_unique
    on auth.mfa_factors (friendly_name, user_id) where (trim(friendly_name) <> '');
create unique index unique_phone_factor_per_user on auth.mfa_factors (user_id, phone);
comment on table auth.mfa_factors is 'Second factors of users.';
comment on column auth.mfa_factors.secret is 'Encrypted by the application.';
comment on column auth.mfa_factors.last_used_step is 'Time step of the last TOTP code; none is used twice.';
create table auth.mfa_challenges (
    id uuid not null default gen_random_uuid() constraint pk_mfa_challenges primary key,
    factor_id uuid not null
        constraint fk_mfa_challenges_factor_id references auth.mfa_factors (id) on delete cascade,
    created_at timestamptz not null default now(),
    verified_at timestamptz,
    ip_address inet not null,
    otp_code text,
    web_authn_session_data jsonb
);
create index ix_mfa_challenges_factor_id on auth.mfa_challenges (factor_id);
create index ix_mfa_challenges_created_at on auth.mfa_challenges (created_at);
comment on table auth.mfa_challenges is 'Second factors that were asked for.';
comment on column auth.mfa_challenges.otp_code is 'A hash of the code that was sent.';
create table auth.mfa_recovery_codes (
    id uuid not null default gen_random_uuid() constraint pk_mfa_recovery_codes primary key,
    user_id uuid not null
        constraint fk_mfa_recovery_codes_user_id references auth.users (id) on delete cascade,
    code_hash text not null,
    created_at timestamptz not null default now(),
    used_at timestamptz,
    constraint mfa_recovery_codes_user_id_code_hash_key unique (user_id, code_hash)
);
comment on table auth.mfa_recovery_codes is 'Codes for who lost a second factor, as hashes.';
"""

PASSKEYS = """
create table auth.webauthn_credentials (
    id uuid not null default gen_random_uuid() constraint pk_webauthn_credentials primary key,
    user_id uuid not null
        constraint fk_webauthn_credentials_user_id references auth.users (id) on delete cascade,
    credential_id bytea not null constraint webauthn_credentials_credential_id_key unique,
    public_key bytea not null,
    attestation_type text not null default 'none',
    aaguid uuid,
    sign_count bigint not null default 0,
    transports jsonb not null default '[]',
    backup_eligible boolean not null default false,
    backed_up boolean not null default false,
    friendly_name text
        constraint ck_webauthn_credentials_friendly_name check (char_length(friendly_name) <= 120),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    last_used_at timestamptz
);
create index ix_webauthn_credentials_user_id on auth.webauthn_credentials (user_id, created_at);
comment on table auth.webauthn_credentials is 'Passkeys: public keys that open sessions by themselves.';
create table auth.webauthn_challenges (
    id uuid not null default gen_random_uuid() constraint pk_webauthn_challenges primary key,
    user_id uuid constraint fk_webauthn_challenges_user_id references auth.users (id) on delete cascade,
    challenge_type text not null constraint ck_webauthn_challenges_challenge_type
        check (challenge_type in ('signup', 'registration', 'authentication')),
    session_data jsonb not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index ix_webauthn_challenges_user_id on auth.webauthn_challenges (user_id);
create index ix_webauthn_challenges_expires_at on auth.webauthn_challenges (expires_at);
comment on table auth.webauthn_challenges is 'What a passkey was asked to sign; each works once.';
"""

SSO = """
create table auth.sso_providers (
    id uuid not null default gen_random_uuid() constraint pk_sso_providers primary key,
    resource_id text constraint ck_sso_providers_resource_id check (resource_id <> ''),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    disabled boolean not null default false
);
create unique index sso_providers_resource_id_idx on auth.sso_providers (lower(resource_id));
comment on table auth.sso_providers is 'Organisations that vouch for their people.';
create table auth.sso_domains (
    id uuid not null default gen_random_uuid() constraint pk_sso_domains primary key,
    sso_provider_id uuid not null
        constraint fk_sso_domains_sso_provider_id references auth.sso_providers (id) on delete cascade,
    domain text not null constraint ck_sso_domains_domain check (domain <> ''),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create unique index sso_domains_domain_idx on auth.sso_domains (lower(domain));
create index ix_sso_domains_sso_provider_id on auth.sso_domains (sso_provider_id);
comment on table auth.sso_domains is 'Which addresses an organisation vouches for.';
create table auth.saml_providers (
    id uuid not null default gen_random_uuid() constraint pk_saml_providers primary key,
    sso_provider_id uuid not null
        constraint fk_saml_providers_sso_provider_id references auth.sso_providers (id) on delete cascade,
    entity_id text not null constraint saml_providers_entity_id_key unique
        constraint ck_saml_providers_entity_id check (entity_id <> ''),
    metadata_xml text not null constraint ck_saml_providers_metadata_xml check (metadata_xml <> ''),
    metadata_url text constraint ck_saml_providers_metadata_url check (metadata_url <> ''),
    attribute_mapping jsonb,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    name_id_format text
);
create index ix_saml_providers_sso_provider_id on auth.saml_providers (sso_provider_id);
comment on table auth.saml_providers is 'How to speak SAML 2.0 with an organisation.';
create table auth.saml_relay_states (
    id uuid not null default gen_random_uuid() constraint pk_saml_relay_states primary key,
    sso_provider_id uuid not null
        constraint fk_saml_relay_states_sso_provider_id references auth.sso_providers (id) on delete cascade,
    request_id text not null constraint ck_saml_relay_states_request_id check (request_id <> ''),
    for_email text,
    redirect_to text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    flow_state_id uuid
        constraint fk_saml_relay_states_flow_state_id references auth.flow_state (id) on delete cascade
);
create index ix_saml_relay_states_sso_provider_id on auth.saml_relay_states (sso_provider_id);
create index ix_saml_relay_states_flow_state_id on auth.saml_relay_states (flow_state_id);
create index ix_saml_relay_states_for_email on auth.saml_relay_states (for_email);
create index ix_saml_relay_states_created_at on auth.saml_relay_states (created_at);
comment on table auth.saml_relay_states is 'SAML requests that were not answered yet.';
create table auth.saml_assertions (
    sso_provider_id uuid not null
        constraint fk_saml_assertions_sso_provider_id references auth.sso_providers (id) on delete cascade,
    assertion_id text not null,
    expires_at timestamptz not null,
    constraint pk_saml_assertions primary key (sso_provider_id, assertion_id)
);
create index ix_saml_assertions_expires_at on auth.saml_assertions (expires_at);
comment on table auth.saml_assertions is 'Assertions that were accepted, so that none is accepted twice.';
"""

OAUTH_SERVER = """
create type auth.oauth_registration_type as enum ('dynamic', 'manual');
create type auth.oauth_client_type as enum ('public', 'confidential');
create type auth.oauth_authorization_status as enum ('pending', 'approved', 'denied', 'expired');
create type auth.oauth_response_type as enum ('code');
create table auth.oauth_clients (
    id uuid not null default gen_random_uuid() constraint pk_oauth_clients primary key,
    client_secret_hash text,
    registration_type auth.oauth_registration_type not null,
    redirect_uris text not null,
    grant_types text not null,
    client_name text constraint ck_oauth_clients_client_name check (char_length(client_name) <= 1024),
    client_uri text constraint ck_oauth_clients_client_uri check (char_length(client_uri) <= 2048),
    logo_uri text constraint ck_oauth_clients_logo_uri check (char_length(logo_uri) <= 2048),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    client_type auth.oauth_client_type not null default 'confidential',
    token_endpoint_auth_method text not null constraint ck_oauth_clients_token_endpoint_auth_method
        check (token_endpoint_auth_method in ('client_secret_basic', 'client_secret_post', 'none')),
    scope text constraint ck_oauth_clients_scope check (char_length(scope) <= 4096)
);
create index ix_oauth_clients_deleted_at on auth.oauth_clients (deleted_at);
create index ix_oauth_clients_created_at on auth.oauth_clients (created_at);
comment on table auth.oauth_clients is 'Applications that sign their users in here; redirect_uris and '
    'grant_types are separated by commas.';
create table auth.oauth_authorizations (
    id uuid not null default gen_random_uuid() constraint pk_oauth_authorizations primary key,
    authorization_id text not null constraint oauth_authorizations_authorization_id_key unique,
    client_id uuid not null
        constraint fk_oauth_authorizations_client_id references auth.oauth_clients (id) on delete cascade,
    user_id uuid constraint fk_oauth_authorizations_user_id references auth.users (id) on delete cascade,
    redirect_uri text not null
        constraint ck_oauth_authorizations_redirect_uri check (char_length(redirect_uri) <= 2048),
    scope text not null constraint ck_oauth_authorizations_scope check (char_length(scope) <= 4096),
    state text constraint ck_oauth_authorizations_state check (char_length(state) <= 4096),
    resource text constraint ck_oauth_authorizations_resource check (char_length(resource) <= 2048),
    code_challenge text
        constraint ck_oauth_authorizations_code_challenge check (char_length(code_challenge) <= 128),
    code_challenge_method auth.code_challenge_method,
    response_type auth.oauth_response_type not null default 'code',
    status auth.oauth_authorization_status not null default 'pending',
    authorization_code text constraint oauth_authorizations_authorization_code_key unique
        constraint ck_oauth_authorizations_authorization_code check (char_length(authorization_code) <= 255),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '3 minutes',
    approved_at timestamptz,
    nonce text constraint ck_oauth_authorizations_nonce check (char_length(nonce) <= 255),
    constraint ck_oauth_authorizations_expires_at check (expires_at > created_at)
);
create index ix_oauth_authorizations_client_id on auth.oauth_authorizations (client_id);
create index ix_oauth_authorizations_user_id on auth.oauth_authorizations (user_id);
create index ix_oauth_authorizations_expires_at on auth.oauth_authorizations (expires_at);
comment on table auth.oauth_authorizations is 'Requests of clients for access to a user''s account.';
comment on column auth.oauth_authorizations.authorization_code is 'SHA-256 of the code.';
create table auth.oauth_consents (
    id uuid not null default gen_random_uuid() constraint pk_oauth_consents primary key,
    user_id uuid not null constraint fk_oauth_consents_user_id references auth.users (id) on delete cascade,
    client_id uuid not null
        constraint fk_oauth_consents_client_id references auth.oauth_clients (id) on delete cascade,
    scopes text not null constraint ck_oauth_consents_scopes check (char_length(scopes) <= 2048),
    granted_at timestamptz not null default now(),
    revoked_at timestamptz,
    constraint oauth_consents_user_client_unique unique (user_id, client_id),
    constraint ck_oauth_consents_revoked_at check (revoked_at >= granted_at)
);
create index ix_oauth_consents_client_id on auth.oauth_consents (client_id);
comment on table auth.oauth_consents is 'What users allowed which client.';
alter table auth.sessions
    add column oauth_client_id uuid constraint fk_sessions_oauth_client_id
        references auth.oauth_clients (id) on delete cascade,
    add column scopes text constraint ck_sessions_scopes check (char_length(scopes) <= 4096);
create index ix_sessions_oauth_client_id on auth.sessions (oauth_client_id);
"""

AUDIT = """
comment on table auth.refresh_tokens is 'What renews sessions; of each chain one token at most is alive.';
create table auth.audit_log_entries (
    instance_id uuid,
    id uuid not null default gen_random_uuid() constraint pk_audit_log_entries primary key,
    payload json,
    created_at timestamptz not null default now(),
    ip_address varchar(64) not null default ''
);
create index ix_audit_log_entries_created_at on auth.audit_log_entries (created_at, id);
comment on table auth.audit_log_entries is 'What happened to users, by whom and from where.';
"""

CUSTOM_PROVIDERS = """
create table auth.custom_oauth_providers (
    id uuid not null default gen_random_uuid() constraint pk_custom_oauth_providers primary key,
    provider_type text not null constraint ck_custom_oauth_providers_provider_type
        check (provider_type in ('oauth2', 'oidc')),
    identifier text not null constraint custom_oauth_providers_identifier_key unique
        constraint ck_custom_oauth_providers_identifier check (identifier <> ''),
    name text not null,
    client_id text not null,
    client_secret text not null,
    acceptable_client_ids text[] not null default '{}',
    scopes text[] not null default '{}',
    pkce_enabled boolean not null default true,
    attribute_mapping jsonb not null default '{}',
    authorization_params jsonb not null default '{}',
    enabled boolean not null default true,
    email_optional boolean not null default false,
    issuer text,
    discovery_url text,
    skip_nonce_check boolean not null default false,
    cached_discovery jsonb,
    discovery_cached_at timestamptz,
    authorization_url text,
    token_url text,
    userinfo_url text,
    jwks_uri text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ck_custom_oauth_providers_oidc_issuer check (provider_type <> 'oidc' or issuer is not null),
    constraint ck_custom_oauth_providers_oauth2_urls check (
        provider_type <> 'oauth2'
        or (authorization_url is not null and token_url is not null and userinfo_url is not null)
    )
);
create index ix_custom_oauth_providers_created_at on auth.custom_oauth_providers (created_at);
comment on table auth.custom_oauth_providers is 'Providers that were configured while the server ran.';
comment on column auth.custom_oauth_providers.client_secret is 'Encrypted by the application.';
"""

SCRIPTS = (ONE_TIME_TOKENS, FLOW_STATE, FACTORS, PASSKEYS, SSO, OAUTH_SERVER, AUDIT, CUSTOM_PROVIDERS)


def upgrade() -> None:
    for script in SCRIPTS:
        for statement in split(script):
            op.get_bind().exec_driver_sql(statement.text)
    for table in (*TABLES, "oauth_clients"):
        op.execute(f"alter table auth.{table} enable row level security")
        op.execute(f"revoke all on auth.{table} from public")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"drop table auth.{table}")
    op.execute("alter table auth.sessions drop column oauth_client_id, drop column scopes")
    op.execute("drop table auth.oauth_clients")
    for name in TYPES:
        op.execute(f"drop type auth.{name}")
