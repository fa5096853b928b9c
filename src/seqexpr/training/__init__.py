"""Training: recipes as files, optimisers and schedules by name, and a loop that resumes exactly."""
