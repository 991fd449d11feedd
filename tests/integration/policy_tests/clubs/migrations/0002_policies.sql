alter table public.clubs enable row level security;
alter table public.members enable row level security;
alter table public.posts enable row level security;
alter table public.revisions enable row level security;
alter table public.accounts enable row level security;
alter table public.addresses enable row level security;
alter table public.treasury enable row level security;
alter table public.diaries enable row level security;
alter table public.audit_entries enable row level security;
alter table public.announcements enable row level security;
alter table public.profiles enable row level security;

revoke all on public.clubs from anon;
revoke insert on public.clubs from authenticated;
revoke select, update on public.profiles from authenticated;
grant select (user_id, nickname), update (nickname) on public.profiles to authenticated;

create policy "members see their club" on public.clubs for select to authenticated
    using (id in (select m.club_id from public.members m where m.user_id = (select auth.uid())));
create policy "members see each other" on public.members for select to authenticated
    using (club_id in (select public.my_clubs()));

create policy "members read what is published" on public.posts for select to authenticated
    using (status = 'published' and club_id in (select public.my_clubs()));
create policy "authors read their posts" on public.posts for select to authenticated
    using (author_id = (select auth.uid()));
create policy "members write posts" on public.posts for insert to authenticated
    with check (author_id = (select auth.uid()) and club_id in (select public.my_clubs()));
create policy "authors change their posts" on public.posts for update to authenticated
    using (author_id = (select auth.uid())) with check (author_id = (select auth.uid()));
create policy "nobody changes the archive" on public.posts as restrictive for update
    using (not is_archived);
create policy "authors delete drafts" on public.posts for delete to authenticated
    using (author_id = (select auth.uid()) and status = 'draft');
create policy "revisions follow their post" on public.revisions to authenticated
    using (exists (select from public.posts p where p.id = revisions.post_id and p.author_id = auth.uid()));

create policy "holders see their accounts" on public.accounts for select to authenticated
    using (holder = ((select auth.jwt()) ->> 'sub')::uuid);
create policy "addresses belong to accounts" on public.addresses to authenticated
    using (account_id in (select a.id from public.accounts a));

create policy "the club of the token reads" on public.treasury for select to authenticated
    using (club_id = ((select auth.jwt()) -> 'app_metadata' ->> 'club_id')::uuid);
create policy "treasurers manage" on public.treasury to authenticated
    using (club_id = ((select auth.jwt()) -> 'app_metadata' ->> 'club_id')::uuid
           and (select auth.jwt()) -> 'app_metadata' ->> 'role' = 'treasurer');
create policy "a second factor to write" on public.treasury as restrictive for update to authenticated
    using ((select auth.jwt()) ->> 'aal' = 'aal2');

create policy "diaries are private" on public.diaries to authenticated
    using (owner_email = (select auth.email()));

create policy "everybody leaves entries" on public.audit_entries for insert to authenticated
    with check (actor = (select auth.uid())::text);
create policy "actors erase entries" on public.audit_entries for delete to authenticated
    using (actor = (select auth.uid())::text);

create policy "announcements in time" on public.announcements for select to anon, authenticated
    using (visible_from <= now());

create policy "profiles are public" on public.profiles for select to authenticated using (true);
create policy "people name themselves" on public.profiles for update to authenticated
    using (user_id = (select auth.uid()));
