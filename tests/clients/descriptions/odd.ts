// The types of awkward names, held against those of Supabase's generator: where they differ, it says `unknown`.
import { createClient } from "@supabase/supabase-js"
import { Constants, type Database, type Tables, type TablesInsert } from "./ours"
import type { Database as Theirs } from "./theirs"

type Equal<X, Y> = (<T>() => T extends X ? 1 : 2) extends <T>() => T extends Y ? 1 : 2 ? true : false
type IsVague<T> = unknown extends T ? true : unknown[] extends NonNullable<T> ? true : false
type Columns<X, Y> = {
  [K in keyof X | keyof Y as K extends keyof X & keyof Y
    ? Equal<X[K], Y[K]> extends true ? never : IsVague<Y[K]> extends true ? never : K
    : K]: K
}
type Part<X, P extends PropertyKey> = { [T in keyof X]: X[T] extends Record<P, infer R> ? R : never }
type Different<X, Y> = { [T in keyof X & keyof Y as {} extends Columns<X[T], Y[T]> ? never : T]: T }
type Ours = Database["public"]
type Their = Theirs["public"]
type Whole<S extends keyof Database & keyof Theirs, P extends keyof Database[S] & keyof Theirs[S]> = Equal<
  Database[S][P], Theirs[S][P]
>

export const names: Equal<keyof Ours["Tables"], keyof Their["Tables"]> = true
export const rows: Different<Part<Ours["Tables"], "Row">, Part<Their["Tables"], "Row">> = {}
export const inserts: Different<Part<Ours["Tables"], "Insert">, Part<Their["Tables"], "Insert">> = {}
export const updates: Different<Part<Ours["Tables"], "Update">, Part<Their["Tables"], "Update">> = {}
export const ways: Equal<Part<Ours["Tables"], "Relationships">, Part<Their["Tables"], "Relationships">> = true
export const parts: [Whole<"public", "Views">, Whole<"public", "Enums">, Whole<"public", "CompositeTypes">] = [
  true, true, true,
]
export const others: [Whole<"other", "Views">, Whole<"other", "Enums">, Whole<"other", "CompositeTypes">] = [
  true, true, true,
]

const client = createClient<Database>("http://127.0.0.1", "key")

export async function use(): Promise<void> {
  const row: Tables<"import"> | null = (await client.from("import").select().single()).data
  const moods = client.schema("other").from("None").select()
  const mood: Ours["Enums"]["mood"] = Constants.public.Enums.mood[1]
  await client.rpc("odd function", { "first arg": 1, class: mood })
  // @ts-expect-error there is no such mood
  await client.rpc("odd function", { "first arg": 1, class: "bad" })
  const given: TablesInsert<{ schema: "other" }, "select"> | undefined = undefined
  console.log(row, moods, given)
}
