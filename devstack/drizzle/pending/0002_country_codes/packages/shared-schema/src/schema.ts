import { sql } from "drizzle-orm";
import {
  bigint,
  bigserial,
  boolean,
  check,
  customType,
  date,
  index,
  integer,
  jsonb,
  numeric,
  pgEnum,
  pgTable,
  serial,
  smallint,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";

const bytea = customType<{ data: Buffer }>({ dataType: () => "bytea" });
const at = (name: string) => timestamp(name, { withTimezone: true });

export const userRole = pgEnum("user_role", ["participant", "buddy", "mentor", "staff", "company"]);
export const matchState = pgEnum("match_state", ["proposed", "active", "paused", "ended"]);

export const organisations = pgTable(
  "organisations",
  {
    id: serial("id").primaryKey(),
    name: text("name").notNull().unique(),
    country: text("country").notNull(),
    settings: jsonb("settings").notNull().default({}),
    createdAt: at("created_at").notNull().defaultNow(),
  },
  (t) => [check("organisations_country_code", sql`length(${t.country}) = 2`)],
);

export const users = pgTable(
  "users",
  {
    id: bigint("id", { mode: "number" }).primaryKey().generatedByDefaultAsIdentity(),
    organisationId: integer("organisation_id").references(() => organisations.id),
    email: text("email").notNull().unique(),
    displayName: text("display_name").notNull(),
    role: userRole("role").notNull().default("participant"),
    passwordSalt: text("password_salt").notNull(),
    passwordHash: bytea("password_hash").notNull(),
    profile: jsonb("profile").notNull().default({}),
    createdAt: at("created_at").notNull().defaultNow(),
  },
  (t) => [
    index("users_organisation_idx").on(t.organisationId),
    check("users_email_has_at", sql`position('@' in ${t.email}) > 1`),
  ],
);

export const loginSessions = pgTable(
  "login_sessions",
  {
    id: uuid("id").primaryKey().defaultRandom(),
    userId: bigint("user_id", { mode: "number" })
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    tokenHash: bytea("token_hash").notNull(),
    createdAt: at("created_at").notNull().defaultNow(),
    expiresAt: at("expires_at").notNull(),
  },
  (t) => [
    uniqueIndex("login_sessions_token_idx").on(t.tokenHash),
    index("login_sessions_user_idx").on(t.userId),
  ],
);

export const reports = pgTable(
  "reports",
  {
    id: bigserial("id", { mode: "number" }).primaryKey(),
    organisationId: integer("organisation_id")
      .notNull()
      .references(() => organisations.id),
    title: text("title").notNull(),
    content: jsonb("content").notNull(),
    document: bytea("document"),
    cost: numeric("cost", { precision: 12, scale: 2 }).notNull().default("0"),
    createdAt: at("created_at").notNull().defaultNow(),
  },
  (t) => [index("reports_organisation_idx").on(t.organisationId)],
);

export const ingestionEvents = pgTable(
  "ingestion_events",
  {
    id: bigint("id", { mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
    key: text("key").notNull(),
    source: text("source").notNull(),
    payload: jsonb("payload").notNull(),
    receivedAt: at("received_at").notNull().defaultNow(),
  },
  (t) => [
    uniqueIndex("ingestion_events_key_idx").on(t.key),
    index("ingestion_events_received_idx").on(t.receivedAt),
  ],
);

export const buddyMatches = pgTable(
  "buddy_matches",
  {
    id: serial("id").primaryKey(),
    participantId: bigint("participant_id", { mode: "number" })
      .notNull()
      .references(() => users.id),
    buddyId: bigint("buddy_id", { mode: "number" })
      .notNull()
      .references(() => users.id),
    state: matchState("state").notNull().default("proposed"),
    score: numeric("score", { precision: 5, scale: 4 }).notNull(),
    tags: text("tags").array().notNull().default([]),
    createdAt: at("created_at").notNull().defaultNow(),
  },
  (t) => [
    index("buddy_matches_participant_idx").on(t.participantId),
    index("buddy_matches_active_idx").on(t.buddyId).where(sql`${t.state} = 'active'`),
  ],
);

export const journeys = pgTable(
  "journeys",
  {
    id: serial("id").primaryKey(),
    userId: bigint("user_id", { mode: "number" })
      .notNull()
      .references(() => users.id),
    stage: smallint("stage").notNull().default(0),
    milestones: jsonb("milestones").notNull().default([]),
    startedOn: date("started_on").notNull(),
  },
  (t) => [
    uniqueIndex("journeys_user_idx").on(t.userId),
    index("journeys_milestones_idx").using("gin", t.milestones),
  ],
);

export const q2qMessages = pgTable(
  "q2q_messages",
  {
    id: bigint("id", { mode: "number" }).primaryKey().generatedByDefaultAsIdentity(),
    userId: bigint("user_id", { mode: "number" })
      .notNull()
      .references(() => users.id),
    question: text("question").notNull(),
    answer: text("answer"),
    confidence: numeric("confidence", { precision: 4, scale: 3 }),
    createdAt: at("created_at").notNull().defaultNow(),
  },
  (t) => [index("q2q_messages_user_idx").on(t.userId)],
);

export const safetyFlags = pgTable("safety_flags", {
  id: serial("id").primaryKey(),
  messageId: bigint("message_id", { mode: "number" })
    .notNull()
    .references(() => q2qMessages.id),
  category: text("category").notNull(),
  severity: smallint("severity").notNull(),
  resolved: boolean("resolved").notNull().default(false),
  createdAt: at("created_at").notNull().defaultNow(),
});
