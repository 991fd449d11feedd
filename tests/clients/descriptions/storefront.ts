// A program that uses the types of the storefront with supabase-js, and what the compiler has to refuse.
import { createClient } from "@supabase/supabase-js"
import type { CompositeTypes, Database, Enums, Tables, TablesInsert, TablesUpdate } from "./ours"
import type { Database as Theirs } from "./theirs"

type Equal<X, Y> = (<T>() => T extends X ? 1 : 2) extends <T>() => T extends Y ? 1 : 2 ? true : false
type Shop = Database["public"]
type Theirs_ = Theirs["public"]
export const tables: Equal<Shop["Tables"], Theirs_["Tables"]> = true
export const views: Equal<Shop["Views"], Theirs_["Views"]> = true
export const functions: Equal<Shop["Functions"], Theirs_["Functions"]> = true
export const enums: Equal<Shop["Enums"], Theirs_["Enums"]> = true
export const composites: Equal<Shop["CompositeTypes"], Theirs_["CompositeTypes"]> = true

const client = createClient<Database>("http://127.0.0.1", "key")

export async function use(): Promise<string> {
  const { data } = await client.from("orders").select("id,status,customers(name),order_items(quantity)").single()
  if (data === null) return ""
  const name: string = data.customers.name
  const quantities: number[] = data.order_items.map((item) => item.quantity)
  // @ts-expect-error there is no such column
  data.nothing
  const order: TablesInsert<"orders"> = { customer_id: 1 }
  await client.from("orders").insert(order)
  // @ts-expect-error an order needs its customer
  await client.from("orders").insert({ status: "paid" })
  const change: TablesUpdate<"products"> = { price: 2.5 }
  await client.from("products").update(change).eq("sku", "A")
  const total = await client.rpc("order_total", { order_id: data.id })
  const sum: number | null = total.data
  // @ts-expect-error the argument is a number
  await client.rpc("order_total", { order_id: "1" })
  const placed = await client.rpc("place_order", { items: [{ product_id: 1, quantity: 2 }] })
  const row: Tables<"orders"> | null = placed.data
  const rating: Tables<"product_ratings"> | undefined = (await client.from("product_ratings").select()).data?.[0]
  return `${name} ${quantities.length} ${sum} ${row?.status} ${rating?.rating}`
}
export type Unused = [Enums<never>, CompositeTypes<never>]
