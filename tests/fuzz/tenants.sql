-- Two tenants on one database, with every kind of thing that the data API serves.
-- Keys are large numbers that do not come by chance in an answer.

create table public.tenants (
    id   bigint generated always as identity (start with 710000001) primary key,
    name text not null
);
create table public.memberships (
    tenant_id bigint not null references public.tenants (id),
    user_id   uuid not null references auth.users (id) on delete cascade,
    note      text not null,
    primary key (tenant_id, user_id)
);
create function public.my_tenants() returns setof bigint
language sql stable security definer set search_path = ''
as $$ select m.tenant_id from public.memberships m where m.user_id = auth.uid() $$;

create table public.projects (
    id        bigint generated always as identity (start with 720000001) primary key,
    tenant_id bigint not null references public.tenants (id),
    name      text not null,
    details   jsonb not null default '{}'
);
create table public.tasks (
    id         uuid primary key default gen_random_uuid(),
    project_id bigint not null references public.projects (id) on delete cascade,
    title      text not null,
    tags       text[] not null default '{}',
    is_done    boolean not null default false
);
create table public.comments (
    id      bigint generated always as identity (start with 730000001) primary key,
    task_id uuid not null references public.tasks (id) on delete cascade,
    author  uuid not null default auth.uid() references auth.users (id) on delete cascade,
    body    text not null
);
create index on public.projects (tenant_id);
create index on public.tasks (project_id);
create index on public.comments (task_id);

alter table public.tenants enable row level security;
alter table public.memberships enable row level security;
alter table public.projects enable row level security;
alter table public.tasks enable row level security;
alter table public.comments enable row level security;

create policy "own" on public.tenants to authenticated using (id in (select public.my_tenants()));
create policy "own" on public.memberships to authenticated using (tenant_id in (select public.my_tenants()));
create policy "own" on public.projects to authenticated using (tenant_id in (select public.my_tenants()));
create policy "own" on public.tasks to authenticated
    using (project_id in (select p.id from public.projects p));
create policy "own" on public.comments to authenticated using (task_id in (select t.id from public.tasks t));

-- a key that a client may choose tells by its violation that it is taken
revoke insert, update on public.tasks from anon, authenticated;
grant insert (project_id, title, tags, is_done), update (project_id, title, tags, is_done)
    on public.tasks to authenticated;

create view public.open_tasks with (security_invoker = true) as
select t.id, t.project_id, t.title, p.name as project from public.tasks t
join public.projects p on p.id = t.project_id where not t.is_done;

create function public.project_summary(project bigint) returns json language sql stable set search_path = ''
as $$
    select json_build_object('name', (select p.name from public.projects p where p.id = project),
                             'tasks', (select count(*) from public.tasks t where t.project_id = project))
$$;
create function public.find_tasks(project bigint) returns setof public.tasks
language sql stable set search_path = ''
as $$ select * from public.tasks t where t.project_id = project $$;
create function public.rename_project(project bigint, name text) returns setof public.projects
language sql volatile set search_path = ''
as $$ update public.projects p set name = rename_project.name where p.id = project returning p.* $$;
create function public.move_task(task uuid, project bigint) returns setof public.tasks
language sql volatile set search_path = ''
as $$ update public.tasks t set project_id = project where t.id = task returning t.* $$;
create function public.demand_project(project bigint) returns text language plpgsql stable set search_path = ''
as $$
declare name text;
begin
    select p.name into name from public.projects p where p.id = project;
    if not found then
        raise sqlstate 'PT404' using message = 'there is no project ' || project;
    end if;
    return name;
end
$$;
create function public.label(public.projects) returns text language sql stable set search_path = ''
as $$ select $1.name || '!' $$;
