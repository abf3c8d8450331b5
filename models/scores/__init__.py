"""The parts of churn and customer value: scores, where they start, what corrects them, what is spread around them."""
