module kafka-clients/kit

go 1.26.0
