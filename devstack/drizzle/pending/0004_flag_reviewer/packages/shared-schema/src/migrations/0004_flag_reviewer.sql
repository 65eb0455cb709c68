ALTER TABLE "safety_flags" ADD COLUMN "reviewer" text;--> statement-breakpoint
UPDATE "safety_flags" SET "reviewer" = 'unassigned' WHERE NOT "resolved" AND "reviewer" IS NULL;
