-- Voices of providers outside: what to fall back to, and who may have them.

-- The voice that the author wants when the chosen one is not to be had; null: then there is no narration.
alter table casts add column fallback text;

-- By SubscriptionChanged.
create table author_tiers (
    user_id uuid primary key,
    tier text not null
);
