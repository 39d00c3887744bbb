from bert_jax.reporting.report import write_report as write_report
