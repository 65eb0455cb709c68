CREATE TABLE "impact_metrics" (
	"organisation_id" integer NOT NULL REFERENCES "organisations" ("id"),
	"measured_on" date NOT NULL,
	"dimension" text NOT NULL,
	"value" numeric(14, 4) NOT NULL,
	"sample" integer NOT NULL DEFAULT 1,
	CONSTRAINT "impact_metrics_pkey" PRIMARY KEY ("organisation_id", "measured_on", "dimension")
) PARTITION BY RANGE ("measured_on");--> statement-breakpoint
CREATE TABLE "impact_metrics_2025" PARTITION OF "impact_metrics" FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');--> statement-breakpoint
CREATE TABLE "impact_metrics_2026" PARTITION OF "impact_metrics" FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');--> statement-breakpoint
CREATE TABLE "impact_metrics_later" PARTITION OF "impact_metrics" DEFAULT;--> statement-breakpoint
CREATE INDEX "impact_metrics_dimension_idx" ON "impact_metrics" ("dimension", "measured_on");--> statement-breakpoint
CREATE MATERIALIZED VIEW "organisation_impact" AS
	SELECT "organisation_id", "dimension", sum("value") AS "total", sum("sample")::bigint AS "samples"
	FROM "impact_metrics" GROUP BY "organisation_id", "dimension";--> statement-breakpoint
CREATE UNIQUE INDEX "organisation_impact_idx" ON "organisation_impact" ("organisation_id", "dimension");
