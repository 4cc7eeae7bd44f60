DROP TABLE job_counts;
DROP TABLE generation_jobs;
