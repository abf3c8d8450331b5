-- The history store is the database that the image makes by itself; MLflow has one of its own.
CREATE DATABASE mlflow;
