ALTER TABLE "reports" ADD COLUMN "language" text;--> statement-breakpoint
CREATE INDEX "reports_created_idx" ON "reports" USING btree ("created_at");
