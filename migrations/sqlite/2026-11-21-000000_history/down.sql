-- Forward only.
SELECT 1;
