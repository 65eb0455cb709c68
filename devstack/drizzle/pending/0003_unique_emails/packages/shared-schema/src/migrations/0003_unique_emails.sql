CREATE UNIQUE INDEX "users_email_lower_idx" ON "users" USING btree (lower("email"));
